"""Telling people: one JSON document to a web address, as chat services and pagers take it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

from drd.clients.http import request
from drd.core.errors import PermanentError

PATIENCE: Final = timedelta(seconds=10)
_WELL = range(200, 300)


class WebMessenger:
    """Posts `{"title": …, "text": …}`; Slack, Mattermost and whatever takes their webhooks read `text`."""

    async def send(self, address: bytes, title: str, text: str) -> None:
        """Deliver, or raise `DrdError`."""
        document = json.dumps({"title": title, "text": f"{title}: {text}"}).encode()
        headers = {"content-type": "application/json"}
        told = await request("POST", address.decode("utf-8", "replace").strip(), document, headers, PATIENCE)
        if told.status not in _WELL:
            raise PermanentError(f"the address answered {told.status}", "look at the address in `notify:`")
