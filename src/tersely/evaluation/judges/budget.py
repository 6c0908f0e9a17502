"""What an evaluation may cost, kept strictly: a request goes out only if it must fit.

A request's cost is known afterwards. Before it goes out, the most that it can cost is set aside; so
what is spent never exceeds the budget, whatever the replies are.
"""

import asyncio
from dataclasses import dataclass

from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.verdicts import Usage

TEMPLATE_TOKENS = 200
"""Set aside for what an endpoint wraps around a prompt, its schema included."""


class BudgetSpent(Exception):
    """The next request may not fit into the budget."""


@dataclass(frozen=True)
class Reserved:
    """What is set aside for one request."""

    prompt_tokens: int
    completion_tokens: int
    usd: float


class Budget:
    """Counts requests, tokens and dollars against the limits of a config. For one event loop."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        prices = config.usd_per_million_in, config.usd_per_million_out
        self._priced = None not in prices
        self._price_in, self._price_out = prices[0] or 0.0, prices[1] or 0.0
        self._calls = self._prompt_tokens = self._completion_tokens = 0
        self._out, self._reserved_usd = 0, 0.0
        self._settled = asyncio.Event()

    @property
    def usd(self) -> float | None:
        """Dollars spent; None where the price is not known."""
        if not self._priced:
            return None
        return self._usd(self._prompt_tokens, self._completion_tokens)

    def usage(self, cached: int) -> Usage:
        """What was used."""
        return Usage(self._calls, cached, self._prompt_tokens, self._completion_tokens, self.usd)

    async def reserve(self, prompt: str) -> Reserved:
        """Set the most aside that a request can cost, a token for each byte of its prompt.

        Waits for requests that are out if it would fit without what is set aside for them.
        Raises `BudgetSpent` if it does not fit.
        """
        tokens = len(prompt.encode()) + TEMPLATE_TOKENS
        longest = self._config.max_tokens
        wanted = Reserved(tokens, longest, self._usd(tokens, longest))
        while not self._fits(wanted):
            if not self._out:
                raise BudgetSpent
            self._settled.clear()
            await self._settled.wait()
        self._out += 1
        self._reserved_usd += wanted.usd
        return wanted

    def settle(self, reserved: Reserved, used: tuple[int, int] | None) -> None:
        """The request was answered and used so many tokens of prompt and answer. None: nobody
        knows, and what was set aside counts as spent."""
        tokens = used or (reserved.prompt_tokens, reserved.completion_tokens)
        self._calls += 1
        self._prompt_tokens += tokens[0]
        self._completion_tokens += tokens[1]
        self.release(reserved)

    def release(self, reserved: Reserved) -> None:
        """The request was refused and cost nothing."""
        self._out -= 1
        self._reserved_usd -= reserved.usd
        self._settled.set()

    def _fits(self, wanted: Reserved) -> bool:
        calls, usd = self._config.max_calls, self._config.max_usd
        if calls is not None and self._calls + self._out + 1 > calls:
            return False
        return usd is None or (self.usd or 0.0) + self._reserved_usd + wanted.usd <= usd

    def _usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self._price_in + completion_tokens * self._price_out) / 1e6
