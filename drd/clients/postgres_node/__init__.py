"""A PostgreSQL server's machine, reached by its shell: what can be done there only while the server is down."""

from drd.clients.postgres_node.node import NodeState, PostgresNode, as_others_see

__all__ = ["NodeState", "PostgresNode", "as_others_see"]
