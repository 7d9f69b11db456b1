"""PostgreSQL's own programs: the one place that knows their options, lines and exit codes."""

from drd.clients.postgres_tools.programs import find_programs
from drd.clients.postgres_tools.tools import ProgramsOfPostgres

__all__ = ["ProgramsOfPostgres", "find_programs"]
