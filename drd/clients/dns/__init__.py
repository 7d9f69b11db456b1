"""Where names lead to, and having them lead elsewhere: RFC 2136 at any server that takes it, and Route 53."""

from drd.clients.dns.route53 import Route53
from drd.clients.dns.updates import UpdatedServer

__all__ = ["Route53", "UpdatedServer"]
