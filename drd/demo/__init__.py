"""A demonstration on real parts: a platform that changes, an off-site server, and drd between them."""

from drd.demo.disaster import strike
from drd.demo.run import run_demo
from drd.demo.sold import sold

__all__ = ["run_demo", "sold", "strike"]
