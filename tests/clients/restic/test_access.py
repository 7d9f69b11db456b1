"""What restic sees of the world."""

from pathlib import Path

from drd.clients.restic.access import Access, restic_environment
from drd.ports.store import Location

ACCESS = Access(Location("/srv/repository"), b"sesame", Path("/var/lib/drd/caches/local"))


def test_restic_is_told_what_to_stay_below_only_where_somebody_said_so() -> None:
    assert "GOMEMLIMIT" not in restic_environment(ACCESS, None, 1.0)
    assert restic_environment(ACCESS, None, 1.0, 256 * 2**20)["GOMEMLIMIT"] == "268435456"


def test_the_environment_holds_nothing_of_the_daemons_own_but_its_path() -> None:
    assert set(restic_environment(ACCESS, None, 1.0)) == {"PATH", "HOME", "TMPDIR", "TZ", "RESTIC_PROGRESS_FPS"}
