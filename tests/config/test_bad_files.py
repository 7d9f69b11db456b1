"""Every broken file under bad/ gets exactly the sentences beside it, at exactly that place, and never a traceback.

`bad/<slot>/<case>.yaml` is put into a sound configuration: as its drd.yaml, or as one more policy or runbook. Lines of
`<case>.expected` are `line:column: sentence`; those about another file begin with its path.
"""

import shutil
from pathlib import Path

import pytest

from drd.config.problems import ConfigurationErrors
from tests.config.arranging import HERE, loaded, sound_folder

BAD = HERE / "bad"
CASES = sorted(path.relative_to(BAD).as_posix() for path in BAD.rglob("*.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_told_with_its_place_and_what_to_write(case: str, tmp_path: Path) -> None:
    broken = put(case, tmp_path)

    with pytest.raises(ConfigurationErrors) as raised:
        loaded(tmp_path / "drd.yaml")

    told = [str(problem).replace(f"{broken}:", "").replace(f"{tmp_path}/", "") for problem in raised.value.problems]
    assert told == (BAD / case).with_suffix(".expected").read_text().splitlines()
    assert "hunter2" not in str(raised.value), "a sentence never repeats a secret"


def test_there_are_enough_bad_files_to_mean_something() -> None:
    assert len(CASES) >= 60


def put(case: str, folder: Path) -> Path:
    sound_folder(folder)
    slot, name = case.split("/")
    target = folder / "drd.yaml" if slot == "settings" else folder / slot / name
    shutil.copy(BAD / case, target)
    return target
