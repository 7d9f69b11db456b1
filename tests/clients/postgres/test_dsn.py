"""Connection strings: read, shown without secrets, and written for PostgreSQL's own programs."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.clients.postgres import Dsn
from drd.core.errors import PermanentError


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        (b"postgresql://drd:secret@db1:5433/shop", "db1:5433/shop as drd"),
        (b"host=db1,db2 user=drd password=secret", "db1,db2/drd as drd"),
        (b"host=/run/postgresql dbname=shop", "/run/postgresql database shop"),
        (b"", "localhost"),
    ],
)
def test_a_place_is_told_without_the_password(dsn: bytes, place: str) -> None:
    assert Dsn.parse(dsn).place == place
    assert "secret" not in repr(Dsn.parse(dsn))


@pytest.mark.parametrize("dsn", [b"secret", b"postgresql//drd:secret@db1", b"passwort=secret", b"\xff secret"])
def test_what_is_no_connection_string_is_refused_without_repeating_it(dsn: bytes) -> None:
    with pytest.raises(PermanentError) as caught:
        Dsn.parse(dsn)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1))
def test_every_password_without_blanks_at_its_end_stands_in_the_service_file(password: str) -> None:
    dsn = Dsn({"host": "db1", "user": "drd", "password": password})
    if password != password.rstrip():
        with pytest.raises(PermanentError, match="password"):
            dsn.service_file()
        return
    lines = dsn.service_file().decode().split("\n")
    assert lines[0] == "[drd]"
    assert lines[-4:] == ["host=db1", "user=drd", f"password={password}", ""]


@pytest.mark.parametrize("ending", ["\n", "\r\n", " "])
def test_a_value_that_libpq_would_cut_is_refused_with_what_to_type(ending: str) -> None:
    with pytest.raises(PermanentError, match="ALTER ROLE drd PASSWORD"):
        Dsn({"user": "drd", "password": f"abc{ending}"}).service_file()


def test_the_driver_is_loaded_only_when_it_is_used() -> None:
    look = "import sys, drd.clients.postgres, drd.clients.postgres_tools; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
