"""The body of an endpoint's reply, of which nothing is taken for granted."""

from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

CUT_OFF = "the reply is cut off at judge.max_tokens"
"""Why there is no verdict in such a reply."""


MOST_TOKENS = 1 << 32
"""More than any request can use: a count above it is a mistake, not a price."""


@dataclass(frozen=True)
class Completion:
    """What a model wrote."""

    text: str
    cut_off: bool = False
    """Whether it ended at the limit of tokens."""
    logprobs: list[Any] | None = None
    """Token by token, as the endpoint gives them: objects with `token` and `top_logprobs`. None
    where it gives none."""


@dataclass(frozen=True)
class Reply:
    """A completion and what it cost."""

    completion: Completion
    is_completion: bool
    """Whether there was one in the body."""
    used: tuple[int, int] | None
    """Tokens of the prompt and of the answer; None where the endpoint does not say."""


def read_reply(body: bytes) -> Reply:
    """The first choice of a chat completion."""
    try:
        parsed = from_json(body)
    except ValueError:
        parsed = None
    choice, usage = _at(parsed, "choices", 0), _at(parsed, "usage")
    text, logprobs = _at(choice, "message", "content"), _at(choice, "logprobs", "content")
    tokens = _at(usage, "prompt_tokens"), _at(usage, "completion_tokens")
    completion = Completion(
        text if isinstance(text, str) else "",
        _at(choice, "finish_reason") == "length",
        logprobs if isinstance(logprobs, list) and logprobs else None,
    )
    used = (
        tokens
        if all(type(count) is int and 0 <= count <= MOST_TOKENS for count in tokens)
        else None
    )
    return Reply(completion, _at(choice, "message") is not None, used)


def _at(value: Any, *path: str | int) -> Any:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value
