"""How a server is reached: a connection string of libpq's, as `postgresql://…` or `host=… dbname=…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drd.core.errors import PermanentError

SERVICE = "drd"
"""The service that `Dsn.service_file` describes."""
HOW_TO_WRITE = "write postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, or host=HOST dbname=DATABASE user=ROLE password=…"
NOTICING: Mapping[str, str] = {
    "connect_timeout": "10",
    "tcp_user_timeout": "20000",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""What lets a program notice within 20 s that the other end is gone, unless the connection string says otherwise."""
_SECRET = frozenset({"password", "sslpassword"})


@dataclass(frozen=True, slots=True)
class Dsn:
    """The parameters of a connection string, named as libpq does."""

    parameters: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, secret: bytes) -> Dsn:
        """Read a connection string. Raises `PermanentError`, which never repeats a part of it."""
        # Here as in all of this client: it costs 24 MiB, which only who protects PostgreSQL shall pay.
        import psycopg

        try:
            parsed = psycopg.conninfo.conninfo_to_dict(secret.decode())
        except (psycopg.ProgrammingError, UnicodeDecodeError):
            # Not chained: libpq repeats what it could not read, and that may be the password.
            raise PermanentError("what the dsn refers to is no connection string", HOW_TO_WRITE) from None
        if "service" in parsed:
            raise PermanentError("a dsn cannot name a service file", HOW_TO_WRITE)
        return cls({name: str(value) for name, value in parsed.items() if value is not None})

    @property
    def user(self) -> str:
        """The role; empty when it is left to libpq."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The database; libpq takes the one that is called like the role."""
        return self.parameters.get("dbname", "") or self.user

    @property
    def place(self) -> str:
        """The server in words, as `db1:5432/shop as drd`; never a secret."""
        hosts = self.parameters.get("host") or self.parameters.get("hostaddr") or "localhost"
        port = self.parameters.get("port", "")
        where = f"{hosts}:{port}" if port else hosts
        database = f" database {self.database}" if where.startswith("/") else f"/{self.database}"
        return f"{where}{database if self.database else ''}{f' as {self.user}' if self.user else ''}"

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What must never be shown."""
        return tuple(value.encode() for name, value in self.parameters.items() if name in _SECRET and value)

    def service_file(self) -> bytes:
        """The same as a file of services, which libpq's programs read where `PGSERVICEFILE` says.

        Raises `PermanentError` when a value cannot be written there: libpq knows no quotes in it, and drops blanks at
        the end of a line (`parseServiceFile` in `fe-connect.c`).
        """
        for name, value in self.parameters.items():
            if "\n" in value or "\r" in value or value != value.rstrip():
                raise PermanentError(
                    f"the dsn's {name} ends in a blank or holds a line end, which PostgreSQL's programs cannot read",
                    f"choose another one: ALTER ROLE {self.user or 'drd'} PASSWORD '…'",
                )
        lines = [f"{name}={value}" for name, value in {**NOTICING, **self.parameters}.items()]
        return "\n".join([f"[{SERVICE}]", *lines, ""]).encode()
