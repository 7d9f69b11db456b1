"""A repository behind restic's own REST protocol, version 2 (restic's documentation, "REST Backend").

Lists are `GET /type/` with the media type of version 2, files `GET` and `POST /type/name`. A server stores a file when
its whole body has come, so a body that is broken off leaves nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NoReturn
from urllib.parse import urlsplit

from drd.clients.carrier.config import config_digest
from drd.clients.carrier.content import BLOCK_BYTES, NamedContent
from drd.clients.carrier.files import CONFIG_NAME, NAME, FileKind, Vanished
from drd.clients.carrier.pace import Pace
from drd.core.errors import DrdError, PermanentError, StoreAway
from drd.ports.look import Look
from drd.ports.protection import Protection

LIST_TYPE = "application/vnd.x.restic.rest.v2"
TIMEOUT_SECONDS = 60
LOOK_SECONDS = 5
PROBE = b"drd tries to delete this"
KEPT = "its server refused to delete a pack that was written to try it, and names that nobody wrote among all else"
_REFUSALS = {HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED}
_TAKEN = {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}
"""What servers answer to a name that is taken, and not to that alone."""
_NEEDED = (FileKind.DATA, FileKind.INDEX, FileKind.SNAPSHOT, FileKind.KEY)


class RestFiles:
    """A repository below a URL; each thread has a connection of its own."""

    replaces = False
    """Servers refuse a file whose name is taken."""

    def __init__(self, settings: Mapping[str, str], timeout_seconds: int = TIMEOUT_SECONDS) -> None:
        self.place = settings["url"]
        self._url = urlsplit(settings["url"])
        self._timeout_seconds = timeout_seconds
        self._headers: dict[str, str] = {}
        if settings["user"]:
            pair = f"{settings['user']}:{settings['password']}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._trust: ssl.SSLContext | None = None
        if self._url.scheme == "https":
            self._trust = _trust(settings["ca"])
        self._own = threading.local()

    def list(self, kind: FileKind) -> Mapping[str, int]:
        """Name → size."""
        with self._translated():
            if kind is FileKind.CONFIG:
                answer = self._ask("HEAD", CONFIG_NAME)
                answer.read()
                if answer.status == HTTPStatus.NOT_FOUND:
                    return {}
                self._require(answer)
                return {CONFIG_NAME: int(answer.getheader("Content-Length") or 0)}
            answer = self._ask("GET", f"{kind.value}/", {"Accept": LIST_TYPE})
            body = answer.read()
            if answer.status == HTTPStatus.NOT_FOUND:
                return {}
            self._require(answer)
            if answer.getheader("Content-Type") != LIST_TYPE:
                raise PermanentError(f"{self.place} is no REST server of restic's protocol 2", "correct `url:`")
            return {item["name"]: item["size"] for item in json.loads(body) or () if NAME.fullmatch(item["name"])}

    @contextmanager
    def open(self, kind: FileKind, name: str) -> Iterator[HTTPResponse]:
        """Read a file."""
        with self._translated():
            answer = self._ask("GET", _path(kind, name))
            if answer.status == HTTPStatus.NOT_FOUND:
                answer.read()
                raise Vanished(name)
            self._require(answer)
            yield answer
            if not answer.isclosed():
                self._drop()  # what was not read would be taken for the next answer

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        """One POST, whose last block stays away when the content is refused."""
        with self._translated():
            headers = {"Content-Length": str(content.size), "Content-Type": "application/octet-stream"}
            answer = self._ask("POST", _path(kind, name), headers, content)
            answer.read()
            is_taken = answer.status in _TAKEN and self._size(kind, name) == content.size
            if not is_taken:  # somebody else has brought the same file meanwhile, or this carrier before it was killed
                self._require(answer)

    def _size(self, kind: FileKind, name: str) -> int | None:
        answer = self._ask("HEAD", _path(kind, name))
        answer.read()
        return int(answer.getheader("Content-Length") or 0) if answer.status == HTTPStatus.OK else None

    def holds(self, kind: FileKind, name: str) -> bool:
        """Whether a file is there."""
        with self._translated():
            answer = self._ask("HEAD", _path(kind, name))
            answer.read()
            if answer.status == HTTPStatus.NOT_FOUND:
                return False
            self._require(answer)
            return True

    def try_to_delete(self, kind: FileKind, name: str) -> int:
        """What the server answers to that; 404 where it would have done it and there is no such file."""
        with self._translated():
            answer = self._ask("DELETE", _path(kind, name))
            answer.read()
            if answer.status == HTTPStatus.UNAUTHORIZED or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self._require(answer)
            return answer.status

    def remove(self, kind: FileKind, name: str) -> None:
        """One DELETE."""
        with self._translated():
            answer = self._ask("DELETE", _path(kind, name))
            answer.read()
            if answer.status != HTTPStatus.NOT_FOUND:
                self._require(answer)

    def settle(self) -> None:
        """An acknowledged file is as durable as the server makes it."""

    def prepare(self) -> None:
        """Have the server make its folders."""
        with self._translated():
            answer = self._ask("POST", "?create=true", {"Content-Length": "0"})
            answer.read()
            self._require(answer)

    def close(self) -> None:
        """Give up this thread's connection; those of other threads ended with them."""
        self._drop()

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: NamedContent | None = None
    ) -> HTTPResponse:
        connection: HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
        where = f"{self._url.path.rstrip('/')}/{path}"
        connection.request(method, where, body, {**self._headers, **(headers or {})})
        return connection.getresponse()

    def _connect(self) -> HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._trust is None:
            return HTTPConnection(host, port, timeout=self._timeout_seconds, blocksize=BLOCK_BYTES)
        return HTTPSConnection(host, port, timeout=self._timeout_seconds, blocksize=BLOCK_BYTES, context=self._trust)

    def _drop(self) -> None:
        connection: HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
            self._own.connection = None

    def _require(self, answer: HTTPResponse) -> None:
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise PermanentError(
                f"{self.place} refuses: {answer.status} {answer.reason}",
                "correct `user:` and what `password:` refers to",
            )
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StoreAway(f"{self.place} answers {answer.status} {answer.reason}", "look at the server's log")
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise PermanentError(f"{self.place} answers {answer.status} {answer.reason}", "look at the server's log")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self._drop()
            raise PermanentError(
                f"{self.place} shows a certificate that is not trusted: {error.verify_message}", "name its `ca:`"
            ) from error
        except (OSError, HTTPException) as error:
            self._drop()
            self._away(error)
        except Exception:
            self._drop()  # a request that was broken off leaves a connection that nothing can be made of
            raise

    def _away(self, error: Exception) -> NoReturn:
        reason = "no such host" if isinstance(error, socket.gaierror) else str(error) or type(error).__name__
        raise StoreAway(f"{self.place} does not answer: {reason}", "look at the network and the server") from error


def probe(settings: Mapping[str, str], days: int) -> Protection:
    """Try to delete a file that was written for it, and of the other kinds files that nobody wrote.

    The one that was written looks like a pack that no index names, as an interrupted backup leaves them: no restic is
    kept from anything by it, and a prune takes it away. It is the same file each time. Anything unknown among indexes,
    snapshots or keys would be in every restic's way, and no real one is put at stake. A server that only appends
    refuses those by their kind, another one says that there is no such file: so much is told, and no more is said.
    """
    del days  # such a server keeps everything for ever
    files = RestFiles(settings, timeout_seconds=LOOK_SECONDS)
    name = hashlib.sha256(PROBE).hexdigest()
    try:
        if not files.holds(FileKind.DATA, name):
            files.put(FileKind.DATA, name, NamedContent(io.BytesIO(PROBE), name, len(PROBE), Pace(None), _nothing))
        tried = {kind: secrets.token_hex(32) for kind in _NEEDED} | {FileKind.DATA: name}
        answers = {kind: files.try_to_delete(kind, each) for kind, each in tried.items()}
        is_gone = not files.holds(FileKind.DATA, name)
    finally:
        files.close()
    passed = [kind.value for kind, status in answers.items() if status not in _REFUSALS]
    if is_gone:
        return Protection(False, "its server deleted a probe: it does not only append")
    if passed:
        return Protection(
            False, f"its server does not refuse to delete files of {', '.join(passed)}: it does not only append"
        )
    return Protection(True, KEPT)


def _nothing(_: int) -> None:
    """Nobody wants to know how far a probe has come."""


def look_at(settings: Mapping[str, str]) -> Look:
    """Whether the server answers to this user."""
    try:
        files = RestFiles(settings, timeout_seconds=LOOK_SECONDS)
        config = config_digest(files)
    except DrdError as error:
        return Look(reachable=False, message=error.message, hint=error.hint)
    files.close()
    return Look(reachable=True, config=config)


def _path(kind: FileKind, name: str) -> str:
    return CONFIG_NAME if kind is FileKind.CONFIG else f"{kind.value}/{name}"


def _trust(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise PermanentError(f"the certificates in {ca} cannot be read: {error.strerror}", f"ls -l {ca}") from error
