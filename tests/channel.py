"""A supervisor's channel to a function that serves orders, played in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from autopeft.supervisor import Channel


class ChannelClosedError(Exception):
    """There are no more orders."""


class Script:
    """A channel that gives orders from a list and keeps the replies."""

    def __init__(self, *orders: dict[str, Any]) -> None:
        self.orders, self.replies = list(orders), list[dict[str, Any]]()

    def receive(self) -> dict[str, Any]:
        if not self.orders:
            raise ChannelClosedError
        return json.loads(json.dumps(self.orders.pop(0)))

    def send(self, message: Any) -> None:
        self.replies.append(json.loads(json.dumps(message)))


def replies_to(serve: Callable[[Channel], None], *orders: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a function that serves orders replies to these."""
    script = Script(*orders)
    with pytest.raises(ChannelClosedError):
        serve(script)
    return script.replies
