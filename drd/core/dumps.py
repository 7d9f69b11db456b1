"""Programs that compress what they write: each time it is different all over, and no part of it is stored once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

_COMPRESSORS: Final = frozenset(
    {
        "gzip",
        "pigz",
        "bzip2",
        "pbzip2",
        "lbzip2",
        "xz",
        "pixz",
        "zstd",
        "pzstd",
        "lz4",
        "lzop",
        "7z",
        "7za",
        "zip",
        "brotli",
    }
)
_WORD = re.compile(r"[\w./+-]+")
_NONE = frozenset({"0", "none", "none:0"})
_OPTIONS: Final = {
    "pg_dump": re.compile(r"-F(c|custom)|--format=(c|custom)"),
    "pg_basebackup": re.compile(r"-z|--gzip"),
    "tar": re.compile(
        r"--(gzip|gunzip|bzip2|xz|zstd|lzma|lzop|lzip|compress|auto-compress|use-compress-program=.*)|-I.*"
    ),
    "mariabackup": re.compile(r"--compress(=.*)?"),
    "mariadb-backup": re.compile(r"--compress(=.*)?"),
    "xtrabackup": re.compile(r"--compress(=.*)?"),
    "mongodump": re.compile(r"--gzip"),
}
_LEVEL: Final = re.compile(r"(?:-Z|--compress=)(.+)")
_PROGRAMS_WITH_LEVEL: Final = frozenset({"pg_dump", "pg_basebackup"})
_BUNDLED_TAR: Final = re.compile(r"-?[A-Za-z]*[zjJaZ][A-Za-z]*")
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh"})


def compressing(argv: Sequence[str]) -> str | None:
    """What in a program's words makes it compress its output, as a person would name it; None when nothing does."""
    name = PurePosixPath(argv[0]).name
    words = _joined(argv[1:])
    if name in _COMPRESSORS:
        return name
    if name in _SHELLS:
        said = " ".join(argv[1:])
        return next((word for word in _WORD.findall(said) if PurePosixPath(word).name in _COMPRESSORS), None)
    if name in _PROGRAMS_WITH_LEVEL and (level := _level(words)) is not None:
        return None if level in _NONE else f"compression {level}"
    if name == "tar" and words and _BUNDLED_TAR.fullmatch(words[0]) and not words[0].startswith("--"):
        return words[0]
    known = _OPTIONS.get(name)
    return None if known is None else next((word for word in words if known.fullmatch(word)), None)


def _joined(words: Sequence[str]) -> list[str]:
    """The words with an option and its value as one: `-Fc` for `-F c`, `--compress=5` for `--compress 5`."""
    found: list[str] = []
    for word in words:
        if found and found[-1] in {"-F", "-Z"}:
            found[-1] += word
        elif found and found[-1] in {"--format", "--compress"} and not word.startswith("-"):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def _level(words: Sequence[str]) -> str | None:
    levels = [match[1] for word in words if (match := _LEVEL.fullmatch(word))]
    return levels[-1] if levels else None
