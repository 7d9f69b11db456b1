"""Dynamic updates (RFC 2136), signed with a shared key (RFC 8945, TSIG), over TCP."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from drd.core.dns import Change, Record, demand_within
from drd.core.errors import DrdError, PermanentError, TransientError

if TYPE_CHECKING:
    import dns.message
    import dns.tsig

PATIENCE: Final = timedelta(seconds=10)
HOW_TO_WRITE: Final = "make it one line: hmac-sha256:NAME:BASE64, as tsig-keygen and keymgr print the three"
ALGORITHMS: Final = ("hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
_REFUSED: Final = {
    "REFUSED": "let this key update the zone: `update-policy` or `allow-update` in BIND, `acl` in Knot",
    "NOTAUTH": "look whether the server has the zone, and lets this key update it",
    "NXRRSET": "look anew and go on: drd runbook resume RUNBOOK",
    "YXRRSET": "look anew and go on: drd runbook resume RUNBOOK",
}


@dataclass(frozen=True, slots=True)
class UpdatedServer:
    """The primary server of a zone. Everything raises `DrdError`s that hold no part of the key."""

    server: str
    port: int
    zone: str
    key: bytes

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{self.server}:{self.port}"

    async def look(self, name: str, kind: str) -> Record | None:
        """What the server itself says of a name; None where it has no record of that type."""
        import dns.flags
        import dns.message
        import dns.name
        import dns.rdataclass
        import dns.rdatatype

        wanted, rdtype = dns.name.from_text(_absolute(name)), dns.rdatatype.from_text(kind)
        query = dns.message.make_query(wanted, rdtype)
        query.flags &= ~dns.flags.RD
        answer = await self._ask(query, frozenset({"NOERROR", "NXDOMAIN"}))
        if not answer.flags & dns.flags.AA:
            raise PermanentError(
                f"{self.place} does not hold the zone {self.zone} itself", "name its primary under `server:`"
            )
        found = answer.get_rrset(answer.answer, wanted, dns.rdataclass.IN, rdtype)
        return None if found is None else Record(tuple(sorted(each.to_text() for each in found)), found.ttl)

    async def change(self, name: str, changes: Sequence[Change]) -> None:
        """Put records in the place of those that were looked at, if they are still there, and see that it is so."""
        import dns.rdatatype
        import dns.update

        demand_within(name, self.zone)
        wanted = _absolute(name)
        update = dns.update.UpdateMessage(_absolute(self.zone))
        for each in changes:
            if each.old is None:
                update.absent(wanted, each.kind)
            else:
                update.present(wanted, each.kind, *each.old.values)
            update.delete(wanted, each.kind)
            if each.new is not None:
                for value in each.new.values:
                    update.add(wanted, each.new.ttl, each.kind, value)
        await self._ask(update, frozenset({"NOERROR"}))
        # A server says nothing of what it has left out, as a CNAME beside other records (RFC 2136, 3.4.2.2).
        for each in changes:
            found = await self.look(name, each.kind)
            if Change(each.kind, found, each.new).is_one:
                leads = ", ".join(found.values) if found else "nothing"
                raise PermanentError(f"{name} leads to {leads} all the same", "look at the zone")

    async def _ask(self, message: dns.message.Message, fine: frozenset[str]) -> dns.message.Message:
        import dns.asyncquery
        import dns.exception
        import dns.rcode
        import dns.tsig

        message.use_tsig(_key(self.key))
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                async with await self._connected() as connection:
                    answer = await dns.asyncquery.tcp(message, self.server, sock=connection)
        except TimeoutError as error:
            raise TransientError(f"{self.place} does not answer", "look at the DNS server") from error
        except OSError as error:
            raise TransientError(f"{self.place} is not reached: {error.strerror or error}", "look at it") from error
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime) as error:
            raise _key_refused(self.place, error) from error
        except (dns.exception.DNSException, EOFError) as error:
            raise TransientError(f"{self.place} answers what is not understood: {type(error).__name__}", "") from error
        code = dns.rcode.to_text(answer.rcode())
        if code not in fine:
            moved = "was changed by somebody else meanwhile" if code in ("NXRRSET", "YXRRSET") else f"says {code}"
            raise PermanentError(f"the zone {self.zone} at {self.place} {moved}", _REFUSED.get(code, "look at its log"))
        return answer

    async def _connected(self) -> Any:
        """A connection of dnspython's to the first address that takes one; who is silent leaves time for the others."""
        import dns.asyncbackend

        backend: Any = dns.asyncbackend.get_default_backend()
        found = await self._addresses()
        failure = OSError()
        for family, address in found:
            try:
                async with asyncio.timeout(PATIENCE.total_seconds() / (len(found) + 1)):
                    return await backend.make_socket(family, socket.SOCK_STREAM, 0, None, address)
            except OSError as error:  # a timeout is one
                failure = error
        raise failure

    async def _addresses(self) -> list[tuple[int, Any]]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.server, self.port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]


def _absolute(name: str) -> str:
    return f"{name.rstrip('.')}."


def _key(secret: bytes) -> dns.tsig.Key:
    import dns.exception
    import dns.tsig

    algorithm, _, rest = secret.decode("ascii", "replace").partition(":")
    name, _, shared = rest.partition(":")
    refused = PermanentError("what `key:` refers to is no TSIG key", HOW_TO_WRITE)
    if algorithm not in ALGORITHMS or not name or not shared:
        raise refused
    try:
        base64.b64decode(shared, validate=True)
        return dns.tsig.Key(_absolute(name), shared, algorithm)
    except (dns.exception.DNSException, ValueError):
        # Not chained: the words may repeat the key.
        raise refused from None


def _key_refused(place: str, error: Exception) -> DrdError:
    why = {
        "PeerBadKey": "does not know the key by this name and algorithm, or does not let it change the zone",
        "PeerBadSignature": "has another secret for the key",
        "PeerBadTime": "has another time than this machine",
        "BadTime": "has another time than this machine",
    }.get(type(error).__name__, f"does not take the key: {type(error).__name__}")
    return PermanentError(f"{place} {why}", "compare the key, and the clocks, on both sides")
