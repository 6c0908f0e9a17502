"""A client of an endpoint that speaks the OpenAI protocol: one connection pool, asks patiently."""

import asyncio
import logging
import random
from types import TracebackType
from typing import Any, Self

import openai

from tersely.errors import JudgeError
from tersely.evaluation.judges.budget import Budget, Reserved
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.failures import Kind, describe, kind_of, refused_field, retry_after
from tersely.evaluation.judges.pace import Pace
from tersely.evaluation.judges.reading import Unreadable
from tersely.evaluation.judges.reply import CUT_OFF, Completion, read_reply

log = logging.getLogger(__name__)

BACK_OFF_S = (0.5, 60.0)
"""Seconds before a request is sent again: about the first, doubled each time up to the second."""


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
        for transport in ("httpx", "httpx2"):  # a line for each request otherwise
            logging.getLogger(transport).setLevel(logging.WARNING)
        # A key is always given: without one the client takes $OPENAI_API_KEY, which would then go
        # to whatever server base_url names.
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._config.base_url,
            timeout=self._config.timeout_s,
            max_retries=0,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

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
                    # Not `chat.completions.create`: to check body and reply against their types
                    # takes it 2 ms, most of it for log-probabilities.
                    reply = await self._client.post("/chat/completions", cast_to=bytes, body=body)
                except openai.APIError as error:
                    failed = error
                    self._release(reserved, error)
                else:
                    self._answered_at = loop.time()
                    self._pace.answered()
                    return self._completion(reply, reserved)
                if kind_of(failed) is Kind.busy:
                    self._pace.refused(sent_at, self._pause(failed))
            if not self._goes_without(failed, body):
                await self._recover(failed, first_sent, tries)
                tries += 1

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

    def _goes_without(self, error: openai.APIError, sent: dict[str, Any]) -> bool:
        """Whether the endpoint refused an optional field; it is left out from then on."""
        field = refused_field(error, sent)
        if field is None:
            return False
        fields = {"logprobs", "top_logprobs"} if "logprobs" in field else {field}
        if not fields <= self._left_out:
            self._left_out |= fields
            log.warning(
                "%s does not take %s; requests go on without: %s",
                self._config.model,
                field,
                self.without_key(describe(error)),
            )
        return True

    def _pause(self, error: openai.APIError) -> float | None:
        seconds = retry_after(error)
        if seconds is not None and seconds > self._config.patience_s:
            raise JudgeError(
                f"{self._config.base_url} asks to be left alone for {seconds:.0f} s, longer than "
                f"judge.patience_s={self._config.patience_s:g}; judge later, which goes on from "
                "here, or raise judge.patience_s"
            )
        return seconds

    async def _recover(self, error: openai.APIError, first_sent: float, tries: int) -> None:
        """Wait until the request may be sent again, or raise."""
        kind, said = kind_of(error), self.without_key(describe(error))
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
        if retry_after(error) is None or kind is Kind.passing:
            shortest, longest = BACK_OFF_S
            await asyncio.sleep(min(longest, shortest * 2**tries) * random.uniform(0.5, 1))

    def _cannot_be_asked(self, error: openai.APIError, said: str) -> JudgeError:
        config = self._config
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            remedy = (
                f"see whether the key in {config.api_key_env} is right and may use {config.model}"
                if self._key
                else "it wants a key: put its variable's name into judge.api_key_env"
            )
        elif status == 404:
            remedy = "see judge.base_url (it ends in the version, as in /v1) and judge.model"
        else:
            remedy = "see to the account that the key belongs to"
        return JudgeError(f"the judge {config.model} at {config.base_url} says {said}; {remedy}")

    def _release(self, reserved: Reserved, error: openai.APIError) -> None:
        if isinstance(error, openai.APITimeoutError | openai.APIResponseValidationError):
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


def schema_of(properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object that has just these properties, all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
