"""What an event does to the shelves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drd.core.encoding import Fact
from drd.core.rows import Shelves

Effect = Callable[[Shelves, Fact, dict[str, Any]], None]
"""Lets one event of its kind take effect; it gets the body apart from the fact."""
