"""A repository on a machine that is reached by OpenSSH."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from drd.clients.carrier.config import config_digest
from drd.clients.carrier.content import NamedContent
from drd.clients.carrier.files import CONFIG_NAME, FOLDERS, INCOMING, NAME, FileKind, Vanished, is_left, path_of
from drd.clients.carrier.sftp_session import RemoteFile, SftpSession
from drd.core.errors import DrdError
from drd.ports.look import Look


class SftpFiles:
    """A folder in restic's layout; each thread has a connection of its own."""

    replaces = True

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.place = settings["place"]
        self._root = settings["path"].rstrip("/")
        self._ssh: list[str] = json.loads(settings["ssh"])
        self._own = threading.local()
        self._sessions: list[SftpSession] = []
        self._lock = threading.Lock()
        self._swept = False

    def list(self, kind: FileKind) -> Mapping[str, int]:
        """Name → size."""
        with self.session() as session:
            if kind is FileKind.CONFIG:
                size = session.size(f"{self._root}/{CONFIG_NAME}")
                return {} if size is None else {CONFIG_NAME: size}
            folders = [f"{self._root}/{kind.value}"]
            if kind is FileKind.DATA:
                inside = session.items(folders)
                folders += [f"{folders[0]}/{item.name}" for item in inside if item.is_folder and len(item.name) == 2]
                folders = [folder for folder in folders if not folder.endswith("/..")]
            return {item.name: item.size for item in session.items(folders) if NAME.fullmatch(item.name)}

    @contextmanager
    def open(self, kind: FileKind, name: str) -> Iterator[RemoteFile]:
        """Read a file."""
        with self.session() as session, session.reading(f"{self._root}/{path_of(kind, name)}") as remote:
            yield remote

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        """Write beside, flush, rename; what did not get its name goes, since it may be what fills the disk there."""
        growing = f"{self._root}/{INCOMING}/{name}-{secrets.token_hex(4)}"
        try:
            self._put(growing, f"{self._root}/{path_of(kind, name)}", content)
        except BaseException:
            with suppress(DrdError), self.session() as session:
                session.remove(growing)
            raise

    def _put(self, growing: str, final: str, content: NamedContent) -> None:
        with self.session() as session:
            self._sweep(session)
            with session.writing(growing) as new:
                while block := content.read():
                    new.write(block)
            try:
                session.rename(growing, final)
            except Vanished:
                session.make_folders([final.rpartition("/")[0]])
                session.rename(growing, final)

    def remove(self, kind: FileKind, name: str) -> None:
        """Remove a file."""
        with self.session() as session, suppress(Vanished):
            session.remove(f"{self._root}/{path_of(kind, name)}")

    def settle(self) -> None:
        """The protocol has no way to flush a folder."""

    def prepare(self) -> None:
        """Make the folders."""
        with self.session() as session:
            session.make_folders([self._root, *(f"{self._root}/{folder}" for folder in FOLDERS)])

    def close(self) -> None:
        """Hang up all connections."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    @contextmanager
    def session(self) -> Iterator[SftpSession]:
        """This thread's connection."""
        session: SftpSession | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = SftpSession(self._ssh, self.place)
            with self._lock:
                self._sessions.append(session)
        try:
            yield session
        except BaseException:
            # Answers may be under way that nobody waits for: the next piece of work gets a fresh connection.
            self._own.session = None
            raise

    def _sweep(self, session: SftpSession) -> None:
        with self._lock:
            if self._swept:
                return
            incoming = f"{self._root}/{INCOMING}"
            session.make_folders([incoming])
            for item in list(session.items([incoming])):
                if not item.is_folder and is_left(item.changed):
                    with suppress(Vanished):  # its daemon has given it its name, or swept it
                        session.remove(f"{incoming}/{item.name}")
            self._swept = True


def look_at(settings: Mapping[str, str]) -> Look:
    """Whether the host lets this user in, and the folder, or the one it will be made in, is there."""
    path = settings["path"].rstrip("/")
    parent = path.rpartition("/")[0] or "/"
    files = SftpFiles(settings)
    try:
        with files.session() as session:
            nearest = next((folder for folder in (path, parent) if session.size(folder) is not None), None)
            free = None if nearest is None else session.free_bytes(nearest)
        config = config_digest(files) if nearest == path else ""
    except DrdError as error:
        return Look(reachable=False, message=error.message, hint=error.hint)
    finally:
        files.close()
    if nearest is None:
        return Look(reachable=False, message=f"{parent} does not exist there", hint=f"mkdir -p {parent} there")
    return Look(reachable=True, config=config, free_bytes=free)
