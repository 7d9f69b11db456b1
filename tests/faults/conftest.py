"""Machines with the whole of drd on them."""

from tests.system.fixtures import another_machine, machine, two_stores, two_stores_each_restic

__all__ = ["another_machine", "machine", "two_stores", "two_stores_each_restic"]
