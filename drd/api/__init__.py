"""What the daemon serves over HTTP: its control on a unix socket, metrics and signs of life on loopback."""

from drd.api.server import ApiServer

__all__ = ["ApiServer"]
