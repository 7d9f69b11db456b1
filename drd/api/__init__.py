"""The HTTP side of the daemon: metrics, liveness and the routes of control."""
