"""How a base backup is read, as a summary says it."""

from drd.core.postgres.reading import ReadFrom


def test_only_what_is_unusual_is_said() -> None:
    assert ReadFrom.SERVER.sentence == ""
    said = {ReadFrom(way).sentence for way in ("data_directory", "auto")}
    assert len(said) == 2
    assert all("data directory" in each for each in said)
