"""Configuration: drd.yaml, policies and runbooks, read with the position of every mistake.

`load` is what the others call; the kinds that files may name are handed in.
"""

from __future__ import annotations

from drd.config.kinds import Kinds
from drd.config.load import load
from drd.config.problems import ConfigurationErrors, Problem

__all__ = ["ConfigurationErrors", "Kinds", "Problem", "load"]
