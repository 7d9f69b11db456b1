"""The real parts that tests run on: restic in its oldest and newest supported version, and rclone as a server.

A part that is missing fails its test and says what to type; it is never skipped.
"""

import asyncio
import functools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres_lab import Cluster, Lab, lab
from tests.quick_restic import put_before
from tests.servers import MotoS3, RcloneRest, RcloneS3, RcloneSftp, Server

pytest_plugins = ["tests.fault_share"]

AnyServer = TypeVar("AnyServer", bound=Server)

REPOSITORY = Path(__file__).parent.parent

# Two shared cores make any one example slow now and then, so hypothesis' own clock says nothing here.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_configure() -> None:
    """Say that there is no event loop yet: Python 3.11 else makes one for pytest-asyncio, which nobody closes."""
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def restic_binaries() -> Iterator[dict[str, Path]]:
    """The restic programs by age: `oldest` and `newest`; repositories in folders open at once."""
    with tempfile.TemporaryDirectory(prefix="drd-restic-") as folder:
        Path(folder).chmod(0o755)  # tests start it as other users, too
        ages = {age: Path(folder) / age for age in ("oldest", "newest")}
        for each in ages.values():
            each.mkdir()
        yield {age: put_before(_restic(age), each) for age, each in ages.items()}


@pytest.fixture(scope="session", params=["oldest", "newest"])
def restic_binary(request: pytest.FixtureRequest, restic_binaries: dict[str, Path]) -> Path:
    """Each supported extreme of restic in turn; a test that takes it runs twice."""
    return restic_binaries[request.param]


@pytest.fixture(scope="session")
def newest_restic(restic_binaries: dict[str, Path]) -> Path:
    """The newest restic, where the version does not matter."""
    return restic_binaries["newest"]


@pytest.fixture(scope="session")
def rclone_binary() -> Path:
    """The real rclone, which a package of the environment carries."""
    rclone = Path(sys.prefix) / "bin" / "rclone"
    if not rclone.exists():
        pytest.fail(f"{rclone} is missing; type: make setup", pytrace=False)
    return rclone


@pytest.fixture
def rclone_s3(rclone_binary: Path, tmp_path: Path) -> Iterator[RcloneS3]:
    """An S3 server over an empty folder; a bucket is a folder in `.folder`."""
    yield from _serving(RcloneS3(rclone_binary, tmp_path / "rclone-s3"))


@pytest.fixture
def rclone_rest(rclone_binary: Path, tmp_path: Path) -> Iterator[RcloneRest]:
    """A server of restic's own REST protocol over an empty folder."""
    yield from _serving(RcloneRest(rclone_binary, tmp_path / "rclone-rest", append_only=False))


@pytest.fixture
def rclone_rest_append_only(rclone_binary: Path, tmp_path: Path) -> Iterator[RcloneRest]:
    """The same, refusing to delete or overwrite anything but locks."""
    yield from _serving(RcloneRest(rclone_binary, tmp_path / "rclone-rest-append-only", append_only=True))


@pytest.fixture
def rclone_sftp(rclone_binary: Path, tmp_path: Path) -> Iterator[RcloneSftp]:
    """An SFTP server over an empty folder, with `.user`, `.key`, `.known_hosts` and `.port`."""
    yield from _serving(RcloneSftp(rclone_binary, tmp_path / "rclone-sftp"))


@pytest.fixture
def moto_s3(tmp_path: Path) -> Iterator[MotoS3]:
    """An S3 server that knows versioning and object lock, which rclone's does not; it holds nothing yet."""
    yield from _serving(MotoS3(tmp_path / "moto-s3"))


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """The folder that holds PostgreSQL's programs, server and tools."""
    return _postgres("postgresql")


@pytest.fixture(scope="session")
def haproxy() -> Path:
    """The program."""
    return _program("haproxy/haproxy")


@pytest.fixture(scope="session")
def pgbouncer() -> Path:
    """The program."""
    return _program("pgbouncer/pgbouncer")


@pytest.fixture(scope="session")
def arping() -> Path:
    """The program of iputils."""
    return _program("iputils-arping/arping")


@pytest.fixture(scope="session")
def sshd() -> Path:
    """OpenSSH's server; a library that it needs lies beside it."""
    return _program("openssh/sshd")


@pytest.fixture(scope="session")
def knotd() -> Path:
    """A DNS server that takes updates."""
    return _program("knot/knotd")


@pytest.fixture(scope="session")
def newer_postgres_programs() -> Path:
    """The same of a version that takes incremental base backups."""
    return _postgres("postgresql-newer")


@pytest.fixture(scope="module")
def newer_postgres_lab(newer_postgres_programs: Path) -> Iterator[Lab]:
    """Makes clusters of that version for the tests of a module."""
    with lab(newer_postgres_programs) as laboratory:
        yield laboratory


@pytest.fixture(scope="module")
def postgres_lab(postgres_programs: Path) -> Iterator[Lab]:
    """Makes clusters of PostgreSQL for the tests of a module; what still runs at its end is killed."""
    with lab(postgres_programs) as laboratory:
        yield laboratory


@pytest.fixture(scope="module")
def postgres(postgres_lab: Lab) -> Cluster:
    """One cluster for all tests of a module, with small segments; who stops or fills it takes one of his own."""
    return postgres_lab.new("shop", segment_mib=1)


def _program(name: str) -> Path:
    program = _parts_folder() / name
    if not program.exists():
        pytest.fail(f"{program} is missing; type: make parts", pytrace=False)
    return program


def _postgres(name: str) -> Path:
    programs = _parts_folder() / name / "bin"
    if not (programs / "postgres").exists():
        pytest.fail(f"{programs / 'postgres'} is missing; type: make parts", pytrace=False)
    return programs.resolve()


def _restic(age: str) -> Path:
    restic = _parts_folder() / f"restic-{age}" / "restic"
    if not restic.exists():
        pytest.fail(f"{restic} is missing; type: make parts", pytrace=False)
    return restic


@functools.cache
def _parts_folder() -> Path:
    where = subprocess.run([REPOSITORY / "scripts" / "parts", "where"], check=True, capture_output=True, text=True)
    return Path(where.stdout.strip())


def _serving(server: AnyServer) -> Iterator[AnyServer]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
