"""restic, from 0.14 on: the one place that knows its options, messages, exit codes and the moods of its versions."""

from drd.clients.restic.access import Access
from drd.clients.restic.calls import Patience
from drd.clients.restic.repository import ResticRepository
from drd.clients.restic.versions import Restic, find_restic

__all__ = ["Access", "Patience", "Restic", "ResticRepository", "find_restic"]
