"""Probes against real sockets, servers, programs and this machine."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from drd.core.probing import Failure, ProbeResult
from drd.ports.probe import Probe
from drd.probes.command import CommandProbe
from drd.probes.host import HostProbe
from drd.probes.http import HttpProbe
from drd.probes.tcp import TcpProbe
from tests.postgres_lab import free_port
from tests.probes.watching import a_target, probing


async def look(probe: Probe, host: str = "127.0.0.1") -> ProbeResult:
    async with probing(probe, a_target(host)) as prober:
        return await prober.look()


@asynccontextmanager
async def serving(answer: bytes, secured: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers everything with these bytes; without any it says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if not answer:
                await asyncio.sleep(60)
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secured)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def said(status: str = "200 OK", body: str = "all is well") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_a_port_that_listens_accepts_and_one_that_does_not_refuses() -> None:
    async with serving(said()) as port:
        good = await look(TcpProbe(port=port))
    refused = await look(TcpProbe(port=free_port()))

    assert good.is_good
    assert 0 <= good.latency < 1
    assert refused.failure is Failure.REFUSED
    assert "nobody listens there" in refused.message


async def test_a_port_whose_packets_go_nowhere_is_a_time_out_and_a_name_that_is_none_is_not() -> None:
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # once the queue is full, the kernel drops what comes
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        silent = await look(TcpProbe(port=listener.getsockname()[1], timeout="200ms"))
    nameless = await look(TcpProbe(port=9), "no-such-name.invalid")

    assert silent.failure is Failure.TIMEOUT
    assert nameless.failure in (Failure.PROTOCOL, Failure.TIMEOUT)


async def test_a_web_server_has_to_answer_with_the_status_and_the_text() -> None:
    async with serving(said()) as port:
        url = f"http://127.0.0.1:{port}/health?deep=1"
        assert (await look(HttpProbe(url=url, body="well"))).is_good
        assert (await look(HttpProbe(url=url, status=(204,)))).failure is Failure.WRONG_ANSWER
        assert "lacks the text" in (await look(HttpProbe(url=url, body="broken"))).message
        assert (await look(HttpProbe(url=f"http://shop.invalid:{port}/", at_node=True))).is_good
    async with serving(said("503 Service Unavailable")) as port:
        assert "answers 503" in (await look(HttpProbe(url=f"http://127.0.0.1:{port}"))).message


async def test_a_web_server_that_is_silent_gone_or_speaks_something_else_is_told_apart() -> None:
    async with serving(b"") as port:
        assert (await look(HttpProbe(url=f"http://127.0.0.1:{port}/", timeout="200ms"))).failure is Failure.TIMEOUT
    async with serving(b"SSH-2.0-OpenSSH\r\n\r\n") as port:
        assert (await look(HttpProbe(url=f"http://127.0.0.1:{port}/"))).failure is Failure.PROTOCOL
    assert (await look(HttpProbe(url=f"http://127.0.0.1:{free_port()}/"))).failure is Failure.REFUSED


async def test_a_certificate_has_to_be_trusted_and_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secured = a_certificate(tmp_path, timedelta(days=10))
    async with serving(said(), secured) as port:
        url = f"https://localhost:{port}/"
        stranger = await look(HttpProbe(url=url))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        trusted = await look(HttpProbe(url=url, certificate="5d"))
        too_short = await look(HttpProbe(url=url, certificate="30d"))

    assert stranger.failure is Failure.WRONG_ANSWER
    assert "certificate" in stranger.message
    assert trusted.is_good
    assert too_short.message == "its certificate is good for 9d only"


def a_certificate(folder: Path, lasts: timedelta) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def test_a_program_says_how_it_is_by_how_it_ends() -> None:
    assert (await look(CommandProbe.model_validate(["true"]))).is_good
    wrong = await look(CommandProbe(argv=("sh", "-c", "echo the queue is full >&2; exit 3")))
    late = await look(CommandProbe(argv=("sleep", "60"), timeout="200ms"))
    missing = await look(CommandProbe(argv=("/no/such/program",)))
    told = await look(CommandProbe(argv=("sh", "-c", 'test "$DRD_NODE" = orders-1 && test "$DRD_HOST" = 127.0.0.1')))

    assert (wrong.failure, wrong.message) == (Failure.WRONG_ANSWER, "sh: the queue is full")
    assert late.failure is Failure.TIMEOUT
    assert missing.failure is Failure.PROTOCOL
    assert told.is_good


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"disk_free": "100 %"}, "the disk of /"),
        ({"memory_free": "100 %"}, "memory"),
        ({"load": 1e-9}, "the load of each processor"),
        ({"process": "no-such-process"}, "no process no-such-process runs"),
        ({"path": "/no/such/folder"}, "/no/such/folder"),
    ],
)
async def test_this_machine_is_told_what_it_lacks(asked: dict[str, Any], words: str) -> None:
    found = await look(HostProbe(**asked))

    if "load" in asked and found.is_good:
        return  # a machine that did nothing for minutes
    assert found.failure is Failure.WRONG_ANSWER
    assert words in found.message


async def test_this_machine_with_room_is_well_and_another_is_not_looked_at() -> None:
    assert (await look(HostProbe(disk_free="0 %", inodes_free="0 %", memory_free="0 %", load=1e6))).is_good
    assert HostProbe().why_not(a_target("127.0.0.1")) == ""
    assert HostProbe().why_not(a_target("localhost")) == ""
    assert "another" in HostProbe().why_not(a_target("192.0.2.1"))
    assert "another" in HostProbe().why_not(a_target("db1.example"))


async def test_a_unit_has_to_be_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, asked = tmp_path / "systemctl", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$*" >> {asked}\n[ "$4" = postgresql@15-main ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert (await look(HostProbe(unit="postgresql@15-main"))).is_good
    found = await look(HostProbe(unit="nginx"))
    assert (found.failure, found.message) == (Failure.WRONG_ANSWER, "the unit nginx is not active")
    assert asked.read_text().splitlines()[-1] == "is-active --quiet -- nginx"


async def test_what_holds_nothing_open_is_never_closed() -> None:
    async with probing(TcpProbe(port=9)) as prober:
        prober.on_closed(lambda: pytest.fail("nothing was open"))()


def test_probes_say_in_a_line_what_they_ask() -> None:
    assert TcpProbe(port=80).summary() == "port 80 accepts connections"
    assert HttpProbe(url="https://u:p@shop.example/health?key=1").summary() == "https://shop.example/health answers 200"
    assert CommandProbe(argv=("true", "secret")).summary() == "true ends with 0"
    assert HostProbe(disk_free="10 %").summary() == "disk_free 10 %"
    assert HostProbe().summary() == "the machine answers"
    with pytest.raises(ValidationError, match="write it like https") as told:
        HttpProbe(url="shop.example", certificate="30d")
    assert told.value.error_count() == 1
