"""How the files of a cluster come into a base backup."""

from __future__ import annotations

from enum import StrEnum


class ReadFrom(StrEnum):
    """How the files of a cluster are read."""

    SERVER = "server"
    DATA_DIRECTORY = "data_directory"
    AUTO = "auto"

    @property
    def sentence(self) -> str:
        """What a summary says of it; empty for what is usual."""
        return _SENTENCES[self]


_SENTENCES = {
    ReadFrom.SERVER: "",
    ReadFrom.DATA_DIRECTORY: "read from its data directory",
    ReadFrom.AUTO: "read from its data directory where that is on this host, else sent by the server",
}
