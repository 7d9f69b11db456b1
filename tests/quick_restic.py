"""Real restic whose repositories open at once: a program in front of it that makes each new key a quick one.

restic makes guessing passwords slow by half a second of a processor for each command, which is most of what thousands
of small commands cost. Only where the repository is a folder is its key rewritten; elsewhere it stays as restic made
it. Everything but `init` and `key add` goes to restic as it is, in the same process.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.quick_keys import quicken

SCRIPT = """\
#!/bin/bash
case " $* " in
*" init "* | *" key add "*) PYTHONPATH={root} exec {python} -m tests.quick_restic {restic} "$@" ;;
esac
exec -a "$0" {restic} "$@"
"""


def put_before(restic: Path, folder: Path) -> Path:
    """Write the program that stands for `restic` into `folder`, and return it."""
    program = folder / "restic"
    program.write_text(SCRIPT.format(root=Path(__file__).parent.parent, python=sys.executable, restic=restic))
    program.chmod(0o755)
    return program


def main(words: Sequence[str]) -> int:
    """Run restic, then rewrite the keys that it has made."""
    said = dict(itertools.pairwise(words))
    keys = _repository(said) / "keys"
    before = _names(keys)
    # Who is killed has killed its restic, too, as there would be none between them.
    code = subprocess.call(("setpriv", "--pdeathsig", "KILL", *words), close_fds=False)
    for name in _names(keys) - before:
        quicken(keys / name, _password(said))
    return code


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _repository(said: dict[str, str]) -> Path:
    for word in ("--repo", "-r"):
        if word in said:
            return Path(said[word])
    if "--repository-file" in said:
        return Path(Path(said["--repository-file"]).read_text().strip())
    return Path(os.environ.get("RESTIC_REPOSITORY", ""))


def _password(said: dict[str, str]) -> str:
    for word in ("--new-password-file", "--password-file"):
        if word in said:
            return Path(said[word]).read_text().rstrip("\r\n")
    return os.environ["RESTIC_PASSWORD"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
