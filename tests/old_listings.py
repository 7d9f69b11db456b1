"""A front to an S3 server that lists nothing new, as a store does that shows an old state.

What is asked for by its name is there all the same.
"""

import re
import threading
from collections.abc import Collection
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

ENTRY = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
KEY = re.compile(rb"<Key>(.*?)</Key>")
KINDS = ("data/", "index/", "snapshots/")
"""Of these only what is known is listed; of keys, locks and the config all."""
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class OldListings:
    """Listens on a port of its own until its block ends."""

    def __init__(self, port: int, known: Collection[str]) -> None:
        """`known` are the files that are listed, by their path in the repository, which fills its bucket."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port, frozenset(known)))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(port: int, known: frozenset[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server = HTTPConnection("127.0.0.1", port, timeout=60)
            # With the name that the client has signed.
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            content = answer.read()
            if self.command == "GET" and urlsplit(self.path).query:
                content = ENTRY.sub(lambda entry: entry[0] if _is_listed(entry[0], known) else b"", content)
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)
            server.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - as http.server calls them

    return Handler


def _is_listed(entry: bytes, known: frozenset[str]) -> bool:
    key = KEY.search(entry)
    name = key[1].decode() if key is not None else ""
    return name in known or not name.startswith(KINDS)
