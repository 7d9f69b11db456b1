"""Places that only the daemon would see: systemd's PrivateTmp= gives it a /tmp and a /var/tmp of its own."""

from __future__ import annotations

from pathlib import Path

from drd.core.errors import UsageError

_MADE_BY_SYSTEMD = "systemd-private-"
_ROOT, _MOUNT_POINT = 3, 4
"""Fields of a line of /proc/self/mountinfo, see proc(5)."""


def demand_visible(target: Path) -> None:
    """Raise `UsageError` when what is written to `target` would be seen by nobody else, and be gone with the daemon."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if hidden := private_mount(mounts, target):
        raise UsageError(
            f"the daemon has a {hidden} of its own, which nobody else sees",
            "name another place with --to, below the unit's ReadWritePaths=",
        )


def private_mount(mounts: str, target: Path) -> str | None:
    """The mount point above `target` that is a private one; None where there is none. `mounts` is a mountinfo."""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > _MOUNT_POINT and _MADE_BY_SYSTEMD in fields[_ROOT]:
            point = Path(fields[_MOUNT_POINT])
            if point == target or point in target.parents:
                return str(point)
    return None
