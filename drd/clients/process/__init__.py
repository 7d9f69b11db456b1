"""Running programs: the one place that starts children."""

from drd.clients.process.redaction import Redaction
from drd.clients.process.runner import ChildRunner

__all__ = ["ChildRunner", "Redaction"]
