"""Packets of the SSH file transfer protocol, version 3, over OpenSSH's client.

Protocol: draft-ietf-secsh-filexfer-02; extensions: OpenSSH's PROTOCOL file, section 4. The bytes go through
`ssh -s … sftp`, so keys, host keys, ciphers and keep-alives are OpenSSH's own business.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import IO, NoReturn

from drd.clients.carrier.files import Vanished
from drd.core.errors import PermanentError, ProgramMissing, StoreAway, TransientError

END_SECONDS = 5
LONGEST_PACKET_BYTES = 1 << 20
HAS_SIZE, HAS_OWNER, HAS_MODE, HAS_TIMES, HAS_MORE = 0x01, 0x02, 0x04, 0x08, 0x80000000

_REFUSALS = {
    "Host key verification failed": "put the host's key into `known_hosts:` (ssh-keyscan HOST), and compare it",
    "Permission denied": "put the key's public half into authorized_keys there",
    "UNPROTECTED PRIVATE KEY": "chmod 600 the key file",
    "not accessible": "correct `key:`",
    "subsystem request failed": "allow sftp in the server's sshd_config",
}
"""What ssh says when waiting will not help, and what will."""


class Packet(IntEnum):
    """The protocol's packet types."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    STAT = 17
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """The codes of a status packet that mean something of their own."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3


@dataclass(slots=True)
class Fields:
    """A packet's body, read from its beginning."""

    body: bytes
    position: int = 0

    def number(self) -> int:
        """32 bits."""
        [value] = struct.unpack_from(">I", self.body, self.position)
        self.position += 4
        return int(value)

    def long(self) -> int:
        """64 bits."""
        [value] = struct.unpack_from(">Q", self.body, self.position)
        self.position += 8
        return int(value)

    def string(self) -> bytes:
        """Bytes with their length before them."""
        length = self.number()
        self.position += length
        return self.body[self.position - length : self.position]

    def attributes(self) -> tuple[int, int, int]:
        """A file's size, its mode and when it changed, in seconds since 1970; 0 for what the server leaves out."""
        flags = self.number()
        size = self.long() if flags & HAS_SIZE else 0
        if flags & HAS_OWNER:
            self.position += 8
        mode = self.number() if flags & HAS_MODE else 0
        changed = 0
        if flags & HAS_TIMES:
            self.number()
            changed = self.number()
        if flags & HAS_MORE:
            for _ in range(self.number()):
                self.string()
                self.string()
        return size, mode, changed

    def is_read(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.body)


def string(value: str | bytes) -> bytes:
    """A string as the protocol writes it."""
    content = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    return struct.pack(">I", len(content)) + content


class Wire:
    """Requests and their answers, which may come in any order. Used by one thread."""

    def __init__(self, ssh: Sequence[str], place: str) -> None:
        """`ssh` is the command that speaks the protocol. Raises `StoreAway` or `PermanentError` with ssh's reason."""
        self._place = place
        try:
            self._child = subprocess.Popen(
                ssh, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1 << 18
            )
        except FileNotFoundError as error:
            raise ProgramMissing(f"{ssh[0]} is not installed", "apt-get install openssh-client") from error
        self._last_number = 0
        self._early: dict[int, tuple[int, Fields]] = {}
        self._put(struct.pack(">BI", Packet.INIT, 3))
        _, version = self._next_packet()
        version.number()
        extensions = set()
        while not version.is_read():
            extensions.add(version.string().decode())
            version.string()
        self.extensions = frozenset(extensions)

    def request(self, packet: Packet, body: bytes) -> int:
        """Send a request and return its number."""
        self._last_number += 1
        self._put(struct.pack(">BI", packet, self._last_number) + body)
        return self._last_number

    def answer(self, number: int) -> tuple[int, Fields]:
        """Wait for the answer to a request: its type and body."""
        while number not in self._early:
            packet, fields = self._next_packet()
            self._early[fields.number()] = (packet, fields)
        return self._early.pop(number)

    def status(self, number: int) -> int:
        """Wait for an answer that can only be a status."""
        packet, fields = self.answer(number)
        return fields.number() if packet == Packet.STATUS else Status.OK

    def done(self, number: int, path: str) -> None:
        """Wait for the answer to a request that must succeed."""
        if (status := self.status(number)) != Status.OK:
            self.fail(status, path)

    def handle(self, number: int, path: str) -> bytes:
        """Wait for the handle of what was opened."""
        packet, fields = self.answer(number)
        if packet != Packet.HANDLE:
            self.fail(fields.number(), path)
        return fields.string()

    def fail(self, status: int, path: str) -> NoReturn:
        """Raise what a status means."""
        if status == Status.NO_SUCH_FILE:
            raise Vanished(path)
        if status == Status.PERMISSION_DENIED:
            raise PermanentError(f"{self._place} does not allow this user to use {path}", f"ls -ld {path} there")
        raise TransientError(f"{self._place} could not do its work on {path}", "df -h there: its disk may be full")

    def close(self) -> None:
        """Hang up."""
        self._child.terminate()
        try:
            self._child.communicate(timeout=END_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._child.kill()
            self._child.wait()

    def _put(self, packet: bytes) -> None:
        try:
            _stream(self._child.stdin).write(struct.pack(">I", len(packet)) + packet)
        except BrokenPipeError:
            self._lost()

    def _next_packet(self) -> tuple[int, Fields]:
        try:
            _stream(self._child.stdin).flush()
        except BrokenPipeError:
            self._lost()
        output = _stream(self._child.stdout)
        head = output.read(5)
        if len(head) < 5:
            self._lost()
        length, packet = struct.unpack(">IB", head)
        if not 1 <= length <= LONGEST_PACKET_BYTES:
            raise PermanentError(f"{self._place} does not speak sftp", "does a login script there print something?")
        body = output.read(length - 1)
        if len(body) < length - 1:
            self._lost()
        return packet, Fields(body)

    def _lost(self) -> NoReturn:
        said = _stream(self._child.stderr).read().decode(errors="replace").strip()
        for sentence, hint in _REFUSALS.items():
            if sentence in said:
                raise PermanentError(f"{self._place}: ssh says: {_last_line(said)}", hint)
        raise StoreAway(
            f"{self._place} does not answer: {_last_line(said) or 'the connection ended'}", "it is tried again"
        )


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the child was started without this pipe")
    return stream


def _last_line(text: str) -> str:
    return text.splitlines()[-1].strip() if text else ""
