"""What goes wrong with a PostgreSQL server in ways that somebody decides by."""

from __future__ import annotations

from drd.core.errors import PermanentError, TransientError


class ServerAway(TransientError):
    """The server refuses connections, does not answer in time, or is starting or stopping: another one may serve."""


class LoginRefused(PermanentError):
    """The server does not let us in: a wrong password, an unknown role or database, no line in pg_hba.conf."""


class RightMissing(PermanentError):
    """The role may not do what was asked; the hint is the statement that lets it."""


class ServerReadOnly(TransientError):
    """A standby was asked for what only a primary does; it may become one."""


class SlotMissing(PermanentError):
    """The replication slot that WAL is received by is not there: WAL may lack from here on."""


class WalGone(PermanentError):
    """The server has removed WAL that was not received, or never had it: only a new base backup helps."""


class NoIncrement(PermanentError):
    """The server cannot say what changed since an earlier base backup: only a full one is possible."""


class NotCovered(PermanentError):
    """What is kept does not lead to the moment that was asked for; the message says to which it does."""
