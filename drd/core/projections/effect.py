"""What an event does to the rows of state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drd.core.encoding import Fact
from drd.core.rows import Tables

Effect = Callable[[Tables, Fact, dict[str, Any]], None]
"""Lets one event of its kind take effect; it gets the body apart from the fact."""
