"""A PostgreSQL server's machine, reached by its shell: what can be done there only while the server is down."""

from drd.clients.postgres_node.node import NodeState, PostgresNode, as_others_see
from drd.clients.postgres_node.stranded import on_record, save_stranded

__all__ = ["NodeState", "PostgresNode", "as_others_see", "on_record", "save_stranded"]
