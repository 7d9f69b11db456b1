"""An address that remembers what it was sent."""

from dataclasses import dataclass, field

from drd.core.errors import TransientError


@dataclass
class FakeMessenger:
    """Messenger; while it `is_away`, nothing is delivered."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    """Address and text."""
    is_away: bool = False

    async def send(self, address: bytes, title: str, text: str) -> None:
        if self.is_away:
            raise TransientError("the address does not answer", "")
        self.sent.append((address.decode(), text))
