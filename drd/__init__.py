"""Backs services up, watches their primaries, runs their recovery, and measures whether the promises were kept."""

__version__ = "0.1.0"
