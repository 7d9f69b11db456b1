"""Which process listens on a port."""

from __future__ import annotations


def holder_of_port(port: int) -> str:
    """`name (process 123)` of whoever listens on a TCP port; empty when that cannot be seen from here."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""
