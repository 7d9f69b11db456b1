"""What a child gets from drd beside its arguments: secrets by descriptor, standard input, and where its output goes."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Mapping
from typing import IO

from drd.core.errors import PermanentError
from drd.ports.runner import Command, Stream


class Handover:
    """Open descriptors for one child; they are closed in drd as soon as the child has its own.

    A secret lies in sealed memory (`memfd_create(2)`): it touches no disk, no other process sees it, and unlike a pipe
    it can be read again, which restic's `--password-file` and programs that start programs need.
    """

    def __init__(self) -> None:
        self._open: list[int] = []
        self._paths: dict[str, str] = {}
        self.passed: tuple[int, ...] = ()
        self.pipes: dict[Stream, IO[bytes]] = {}
        """drd's ends of what it hears of the child."""

    def secrets(self, secrets: Mapping[str, bytes]) -> None:
        """Lay the secrets ready."""
        descriptors = {name: self._memory(content) for name, content in secrets.items()}
        self._paths = {name: f"/dev/fd/{descriptor}" for name, descriptor in descriptors.items()}
        self.passed = tuple(descriptors.values())

    def standard_input(self, content: bytes | None) -> int:
        """A descriptor from which `content` can be read; the null device for None."""
        return self._open_path("/dev/null", os.O_RDONLY) if content is None else self._memory(content)

    def output(self, command: Command) -> int | None:
        """A descriptor for standard output when it goes to a file, which only its owner may read; else None."""
        if command.output is None:
            return None
        try:
            return self._open_path(os.fspath(command.output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except OSError as error:
            raise PermanentError(
                f"{command.output} cannot be written: {error.strerror}", f"ls -ld {command.output.parent}"
            ) from error

    def heard(self, stream: Stream) -> int:
        """A descriptor to write into, for a stream that drd listens to.

        Popen makes such pipes too, but up to Python 3.12 it loses the first when there is no descriptor for the second.
        """
        reading, writing = os.pipe()
        self._open.append(writing)
        self.pipes[stream] = os.fdopen(reading, "rb", buffering=0)
        return writing

    def filled(self, text: str) -> str:
        """`text` with each `{name}` of a secret replaced by the path of its descriptor."""
        if not self._paths:
            return text
        names = "|".join(re.escape(name) for name in self._paths)
        return re.sub(rf"\{{({names})\}}", lambda match: self._paths[match[1]], text)

    def close_pipes(self) -> None:
        """Close what nobody will listen to."""
        for pipe in self.pipes.values():
            pipe.close()

    def close(self) -> None:
        """Close what only the child needs."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()

    def _memory(self, content: bytes) -> int:
        descriptor = os.memfd_create("drd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._open.append(descriptor)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        os.lseek(descriptor, 0, os.SEEK_SET)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        return descriptor

    def _open_path(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._open.append(descriptor)
        return descriptor
