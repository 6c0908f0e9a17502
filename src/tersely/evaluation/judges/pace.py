"""How many requests go out at a time: fewer as soon as the endpoint says that it is too much.

Additive increase, multiplicative decrease (D.-M. Chiu and R. Jain, "Analysis of the increase and
decrease algorithms for congestion avoidance in computer networks", 1989): a refusal halves the
number, and as many answers as there are requests at a time raise it by one.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self


class Pace:
    """Turns for requests: `async with pace:`. For one event loop."""

    def __init__(self, most: int) -> None:
        self.allowed = float(most)
        """Requests at a time now; its whole part counts."""
        self._most = most
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed_until = 0.0
        self._slowed_at = float("-inf")

    async def __aenter__(self) -> Self:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        while True:
            pause = self._closed_until - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self._inside < int(self.allowed):
                self._inside += 1
                return self
            else:
                turn = loop.create_future()
                self._waiting.append(turn)
                await turn

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside -= 1
        self._call()

    def answered(self) -> None:
        """A request was answered."""
        if self.allowed < self._most:
            before = int(self.allowed)
            self.allowed = min(float(self._most), self.allowed + 1 / self.allowed)
            if int(self.allowed) > before:
                self._call()

    def refused(self, sent_at: float, retry_after: float | None) -> None:
        """A request sent at `sent_at` (loop time) was too much. With `retry_after` nothing is
        sent for as many seconds. Refusals of requests that were out together count once."""
        now = asyncio.get_running_loop().time()
        if sent_at > self._slowed_at:
            self.allowed = max(1.0, self.allowed / 2)
            self._slowed_at = now
        if retry_after is not None:
            self._closed_until = max(self._closed_until, now + retry_after)

    def _call(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
