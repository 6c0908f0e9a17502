"""A client of an endpoint that speaks the OpenAI protocol: one connection pool, asks patiently."""

import asyncio
import json
import logging
import random
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from tersely.errors import JudgeError
from tersely.evaluation.judges.budget import Budget, Reserved
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.failures import SHOWN, Failure, Kind, refusal
from tersely.evaluation.judges.pace import Pace
from tersely.evaluation.judges.reading import Unreadable
from tersely.evaluation.judges.reply import CUT_OFF, Completion, read_reply

log = logging.getLogger(__name__)

BACK_OFF_S = (0.5, 60.0)
"""Seconds before a request is sent again: about the first, doubled each time up to the second."""

SHORTEST_SECRET = 8
"""Characters; what local servers take for a key is often shorter, and none."""


class Unanswered(Exception):
    """The endpoint will not answer this request; the message says why."""


class Endpoint:
    """An asynchronous context manager, for one event loop."""

    def __init__(self, config: EndpointConfig, key: str | None, budget: Budget) -> None:
        self._config, self._key, self._budget = config, key, budget
        self._pace = Pace(config.max_concurrent)
        self._left_out: set[str] = set()
        self._answered_at = float("-inf")

    async def __aenter__(self) -> Self:
        # Not the openai package: a request takes it twice the CPU time, see benchmarks/judge.py.
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
            connector=aiohttp.TCPConnector(limit=0),
            # Not `trust_env`: it looks for a password in ~/.netrc, for every request.
            proxy=_proxy_for(self._config.base_url),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def complete(
        self, prompt: str, schema: dict[str, Any], seed: int, top_logprobs: int = 0
    ) -> Completion:
        """The reply to `prompt`, held to `schema` where the endpoint can do that.

        Raises `Unanswered`, `Unreadable` for a reply without text, `BudgetSpent`, and `JudgeError`
        if there is no use in asking on.
        """
        loop = asyncio.get_running_loop()
        first_sent, tries = None, 0
        while True:
            async with self._pace:
                reserved = await self._budget.reserve(prompt)
                body = self._body(prompt, schema, seed, top_logprobs)
                sent_at = loop.time()
                first_sent = first_sent or sent_at
                try:
                    reply = await self._send(body)
                except Failure as error:
                    failed = error
                    self._release(reserved, error)
                else:
                    self._answered_at = loop.time()
                    self._pace.answered()
                    return self._completion(reply, reserved)
                if failed.kind is Kind.busy:
                    self._pace.refused(sent_at, self._pause(failed))
            if not self._goes_without(failed, body):
                await self._recover(failed, first_sent, tries)
                tries += 1

    async def _send(self, body: dict[str, Any]) -> bytes:
        """Raises `Failure`."""
        url = f"{self._config.base_url.rstrip('/')}/chat/completions"
        try:
            # A redirect would take the key elsewhere.
            async with self._session.post(url, json=body, allow_redirects=False) as answer:
                content = self._without_key_in(await answer.read())
                if answer.status != 200:
                    raise refusal(answer.status, answer.headers, content)
                return content
        except TimeoutError:
            raise Failure("no reply in judge.timeout_s", timed_out=True) from None
        # OSError and ValueError: a connection that breaks, a header that cannot be read.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failure(f"{type(error).__name__}: {error}") from None

    def _body(
        self, prompt: str, schema: dict[str, Any], seed: int, top_logprobs: int
    ) -> dict[str, Any]:
        config = self._config
        limit = "max_completion_tokens" if "max_tokens" in self._left_out else "max_tokens"
        body: dict[str, Any] = {
            "model": config.model,
            "messages": [{"role": "user", "content": prompt}],
            limit: config.max_tokens,
            "seed": seed,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": True, "schema": schema},
            },
        }
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if top_logprobs:
            body |= {"logprobs": True, "top_logprobs": top_logprobs}
        return {name: value for name, value in body.items() if name not in self._left_out}

    def _goes_without(self, error: Failure, sent: dict[str, Any]) -> bool:
        """Whether the endpoint refused an optional field; it is left out from then on."""
        field = error.refused_field(sent)
        if field is None:
            return False
        fields = {"logprobs", "top_logprobs"} if "logprobs" in field else {field}
        if not fields <= self._left_out:
            self._left_out |= fields
            log.warning(
                "%s does not take %s; requests go on without: %s",
                self._config.model,
                field,
                self._shown(error),
            )
        return True

    def _pause(self, error: Failure) -> float | None:
        seconds = error.retry_after
        if seconds is not None and seconds > self._config.patience_s:
            raise JudgeError(
                f"{self._config.base_url} asks to be left alone for {seconds:.0f} s, longer than "
                f"judge.patience_s={self._config.patience_s:g}; judge later, which goes on from "
                "here, or raise judge.patience_s"
            )
        return seconds

    async def _recover(self, error: Failure, first_sent: float, tries: int) -> None:
        """Wait until the request may be sent again, or raise."""
        kind, said = error.kind, self._shown(error)
        if kind is Kind.final:
            raise self._cannot_be_asked(error, said) from None
        if kind is Kind.wrong:
            raise Unanswered(said) from None
        now, patience = asyncio.get_running_loop().time(), self._config.patience_s
        if now - max(first_sent, self._answered_at) > patience:
            raise JudgeError(
                f"{self._config.base_url} has answered nothing for judge.patience_s={patience:g} "
                f"seconds ({said}); see whether it is up, and judge again: what is judged is kept"
            ) from None
        if kind is Kind.passing and now - first_sent > patience:
            raise Unanswered(said) from None
        if error.retry_after is None or kind is Kind.passing:
            shortest, longest = BACK_OFF_S
            seconds = min(longest, shortest * 2 ** min(tries, 10))
            await asyncio.sleep(seconds * random.uniform(0.5, 1))

    def _cannot_be_asked(self, error: Failure, said: str) -> JudgeError:
        config = self._config
        if error.status in (401, 403):
            remedy = (
                f"see whether the key in {config.api_key_env} is right and may use {config.model}"
                if self._key
                else "it wants a key: put its variable's name into judge.api_key_env"
            )
        elif error.status in (404, 405) or (error.status or 400) < 400:
            remedy = "see judge.base_url (it ends in the version, as in /v1) and judge.model"
        else:
            remedy = "see to the account that the key belongs to"
        return JudgeError(f"the judge {config.model} at {config.base_url} says {said}; {remedy}")

    def _release(self, reserved: Reserved, error: Failure) -> None:
        if error.timed_out:
            self._budget.settle(reserved, None)
        else:
            self._budget.release(reserved)

    def _completion(self, body: bytes, reserved: Reserved) -> Completion:
        """Raises `Unreadable` for a reply without text."""
        reply = read_reply(body)
        self._budget.settle(reserved, reply.used)
        if not reply.is_completion:
            raise Unreadable("the reply is no chat completion")
        completion = reply.completion
        if not completion.text.strip():
            raise Unreadable(CUT_OFF if completion.cut_off else "the reply is empty")
        return completion

    def without_key(self, text: str) -> str:
        """`text` with the key, should an endpoint repeat it, blotted out."""
        return text.replace(self._key, "[key]") if self._key else text

    def _shown(self, error: Failure) -> str:
        return self.without_key(error.said)[:SHOWN]

    def _without_key_in(self, body: bytes) -> bytes:
        """The same before a body is parsed. A short key is left to `without_key`: it is a word such
        as "none" or "token", and may well be one of the body's own."""
        if not self._key or len(self._key) < SHORTEST_SECRET:
            return body
        for written in (self._key, json.dumps(self._key)[1:-1]):
            body = body.replace(written.encode(), b"[key]")
        return body


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for it, if any."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def schema_of(properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object that has just these properties, all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
