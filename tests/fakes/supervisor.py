"""Whoever watches over the process; it remembers what it was told."""

from dataclasses import dataclass, field


@dataclass
class FakeSupervisor:
    told: list[str] = field(default_factory=list)
    pings: int = 0

    def ready(self, status: str) -> None:
        self.told.append(f"ready: {status}")

    def reloading(self) -> None:
        self.told.append("reloading")

    def status(self, text: str) -> None:
        self.told.append(f"status: {text}")

    def stopping(self) -> None:
        self.told.append("stopping")

    def ping(self) -> None:
        self.pings += 1
