"""What an endpoint's errors mean: ask again, ask otherwise, give this one up, or stop."""

import email.utils
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

import openai

SHOWN = 300
"""Characters of an endpoint's words that are passed on."""

OPTIONAL = ("top_logprobs", "logprobs", "response_format", "temperature", "seed", "max_tokens")
"""Fields of a request that an endpoint may refuse."""


class Kind(Enum):
    """What to do about an error."""

    busy = "too many requests"
    passing = "may be gone the next time"
    wrong = "this request will never be answered"
    final = "no request will be answered"


def kind_of(error: openai.APIError) -> Kind:
    """By status; an exhausted account says 429 too, and waiting does not fill it."""
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        if status == 429:
            return Kind.final if error.code == "insufficient_quota" else Kind.busy
        if status in (401, 402, 403, 404):
            return Kind.final
        return Kind.passing if status >= 500 or status in (408, 409, 425) else Kind.wrong
    return Kind.passing


def refused_field(error: openai.APIError, sent: Mapping[str, Any]) -> str | None:
    """The optional field among those `sent` that the endpoint does not take, if that is it."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in (400, 422):
        return None
    said = error.param or _message(error)
    return next((name for name in OPTIONAL if name in sent and name in said), None)


def retry_after(error: openai.APIError) -> float | None:
    """Seconds that the endpoint wants to be left alone; None where it does not say.

    `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3).
    """
    if not isinstance(error, openai.APIStatusError):
        return None
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        until = email.utils.parsedate_to_datetime(headers["retry-after"])
        return max(0.0, until.timestamp() - time.time())
    except (KeyError, ValueError):
        return None


def describe(error: openai.APIError) -> str:
    """What went wrong, in a line, as far as the endpoint says."""
    if isinstance(error, openai.APIStatusError):
        return f"{error.status_code}: {_message(error)}"
    if isinstance(error, openai.APITimeoutError):
        return "no answer in judge.timeout_s"
    return f"{error.message} {error.__cause__ or ''}".strip()[:SHOWN]


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message", body) if isinstance(body, Mapping) else body or error.message
    return " ".join(str(said).split())[:SHOWN]
