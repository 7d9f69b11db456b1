"""A repository in memory that a model of restic works on, in the steps in which restic writes and removes files."""

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from drd.clients.carrier.content import NamedContent
from drd.clients.carrier.files import CONFIG_NAME, FileKind, Vanished


class Killed(BaseException):
    """The carrier died."""


class MemoryFiles:
    """Files by kind and name; `before_call` runs before whatever the carrier does with them."""

    replaces = True

    def __init__(self, place: str, before_call: Callable[[], None] = lambda: None) -> None:
        self.place = place
        self.files: dict[FileKind, dict[str, bytes]] = {kind: {} for kind in FileKind}
        self.files[FileKind.CONFIG][CONFIG_NAME] = b"the same repository"
        self._before_call = before_call
        self.after_listing_one: Callable[[FileKind], None] = lambda kind: None

    def list(self, kind: FileKind) -> Mapping[str, int]:
        self._before_call()
        found: dict[str, int] = {}
        cursor = ""
        while name := min((name for name in self.files[kind] if name > cursor), default=None):
            found[name] = len(self.files[kind][name])
            cursor = name
            self._before_call()  # a listing takes its time, and what changes behind the cursor is missed
            self.after_listing_one(kind)
        return found

    @contextmanager
    def open(self, kind: FileKind, name: str) -> Iterator[io.BytesIO]:
        self._before_call()
        if name not in self.files[kind]:
            raise Vanished(name)
        yield io.BytesIO(self.files[kind][name])

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        self._before_call()
        received = b""
        while block := content.read():
            received += block
        self._before_call()
        self.files[kind][name] = received

    def remove(self, kind: FileKind, name: str) -> None:
        self._before_call()
        self.files[kind].pop(name, None)

    def settle(self) -> None:
        self._before_call()

    def prepare(self) -> None:
        """Memory has no folders."""

    def close(self) -> None:
        """Nor connections."""

    def add(self, kind: FileKind, content: object) -> str:
        """Store a document under its hash and return that."""
        document = json.dumps(content).encode()
        name = hashlib.sha256(document).hexdigest()
        self.files[kind][name] = document
        return name

    def read(self, kind: FileKind) -> dict[str, tuple[str, ...]]:
        """What the indexes or snapshots name."""
        return {name: tuple(json.loads(content)["names"]) for name, content in self.files[kind].items()}


class Restic:
    """A model of restic on one repository: a generator a command, which yields between its steps.

    A pack is said to hold one blob, which a repack puts into a new pack; a snapshot names blobs, an index packs.
    """

    def __init__(self, repository: MemoryFiles) -> None:
        self._repository = repository
        self._serial = 0

    def backup(self) -> Iterator[None]:
        """Packs, then the index, then the snapshot."""
        packs = []
        for _ in range(2):
            self._serial += 1
            packs.append(self._repository.add(FileKind.DATA, {"blob": f"blob-{self._serial}", "copy": 0}))
            yield
        self._repository.add(FileKind.INDEX, {"names": packs})
        yield
        blobs = [json.loads(self._repository.files[FileKind.DATA][pack])["blob"] for pack in packs]
        self._repository.add(FileKind.SNAPSHOT, {"names": blobs})

    def forget(self) -> Iterator[None]:
        """Removes the first snapshot in the order of names."""
        snapshots = self._repository.files[FileKind.SNAPSHOT]
        if snapshots:
            del snapshots[min(snapshots)]
        yield

    def prune(self) -> Iterator[None]:
        """Unnamed packs away, new packs, new index, old indexes away, old packs away."""
        data = self._repository.files[FileKind.DATA]
        used = {blob for blobs in self._repository.read(FileKind.SNAPSHOT).values() for blob in blobs}
        old_indexes = self._repository.read(FileKind.INDEX)
        indexed = {pack for packs in old_indexes.values() for pack in packs}
        for orphan in sorted(set(data) - indexed):
            del data[orphan]
            yield
        new, away = [], []
        for pack in sorted(indexed):
            held = json.loads(data[pack])
            if held["blob"] in used:
                new.append(self._repository.add(FileKind.DATA, {**held, "copy": held["copy"] + 1}))
                yield
            away.append(pack)
        new_index = self._index_before_all_others(new)
        yield
        for index in sorted(set(old_indexes) - {new_index}):
            del self._repository.files[FileKind.INDEX][index]
            yield
        for pack in away:
            del data[pack]
            yield

    def _index_before_all_others(self, packs: list[str]) -> str:
        # The worst case for whoever is listing: the new index always appears behind the cursor.
        first = min(self._repository.files[FileKind.INDEX], default="f")
        nonces = itertools.count()
        while True:
            document = {"names": packs, "nonce": next(nonces)}
            if hashlib.sha256(json.dumps(document).encode()).hexdigest() < first:
                return self._repository.add(FileKind.INDEX, document)


def is_sound(repository: MemoryFiles) -> bool:
    """Whether every pack that an index names is there, and every blob of a snapshot is in an indexed pack."""
    data = repository.files[FileKind.DATA]
    indexed = {pack for packs in repository.read(FileKind.INDEX).values() for pack in packs}
    blobs = {json.loads(data[pack])["blob"] for pack in indexed if pack in data}
    needed = {blob for blobs_of_one in repository.read(FileKind.SNAPSHOT).values() for blob in blobs_of_one}
    return indexed <= set(data) and needed <= blobs
