"""What can happen to the files of a repository, done to files as they lie in its folder."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

KINDS_OF_FILE = ("data", "index", "snapshots", "keys")


def files_of(repository: Path, kind: str) -> list[Path]:
    """The files of a kind that a repository holds, in order of their names; `config` is one of its own."""
    if kind == "config":
        return [repository / "config"]
    return sorted(path for path in (repository / kind).rglob("*") if path.is_file())


def flip(path: Path, drawn: random.Random) -> None:
    """Turn one byte over, somewhere in the middle half."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4 + drawn.randrange(max(1, len(content) // 2))] ^= 0xFF
    write(path, bytes(content))


def cut(path: Path, drawn: random.Random) -> None:
    """Let the end be missing."""
    content = path.read_bytes()
    write(path, content[: len(content) // 2 + drawn.randrange(max(1, len(content) // 4))])


def empty(path: Path, _: random.Random) -> None:
    """Let nothing be left but the name."""
    write(path, b"")


def remove(path: Path, _: random.Random) -> None:
    """Let it be gone."""
    path.unlink()


def swap(path: Path, drawn: random.Random) -> None:
    """Exchange it with another file of its kind, or fill it with something else where there is no other."""
    others = [each for each in sorted(path.parents[_depth(path)].rglob("*")) if each.is_file() and each != path]
    content = path.read_bytes()
    if others:
        other = drawn.choice(others)
        write(path, other.read_bytes())
        write(other, content)
    else:
        write(path, drawn.randbytes(len(content)))


WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped": flip,
    "cut": cut,
    "empty": empty,
    "missing": remove,
    "swapped": swap,
}


def write(path: Path, content: bytes) -> None:
    """Give a file another content; restic's files may not be written to, so it is a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(0o400)


def copied(source: Path, target: Path) -> Path:
    """Another folder with the same content."""
    shutil.copytree(source, target)
    return target


def _depth(path: Path) -> int:
    """How far above a file the folder of its kind lies: packs lie in folders by their first two digits."""
    return 1 if path.parent.parent.name == "data" else 0
