"""A demonstration on real parts: a platform that changes, an off-site server, and drd protecting the one with the other."""

from drd.demo.run import run_demo

__all__ = ["run_demo"]
