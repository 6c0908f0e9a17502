"""What an endpoint's errors mean: ask again, ask otherwise, give this one up, or stop."""

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

SHOWN = 300
"""Characters of an endpoint's words that are passed on."""

OPTIONAL = ("top_logprobs", "logprobs", "response_format", "temperature", "seed", "max_tokens")
"""Fields of a request that an endpoint may refuse."""

_REFUSED = re.compile(
    r"unsupported|(not|n't) support|unknown|unrecogni[sz]ed|not (permitted|allowed)", re.IGNORECASE
)


class Kind(Enum):
    """What to do about an error."""

    busy = "too many requests"
    passing = "may be gone the next time"
    wrong = "this request will never be answered"
    final = "no request will be answered"


@dataclass
class Failure(Exception):
    """A request without a reply."""

    said: str
    """What went wrong, in a line, as far as the endpoint says. Whole: cut before the key is blotted
    out, it might end in a piece of it."""
    status: int | None = None
    """None without an answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the answer, their names in lower case."""
    param: str = ""
    """The field of the request that is at fault, where the endpoint names one."""
    code: str = ""
    timed_out: bool = False
    """Whether it was given up after `judge.timeout_s`."""

    @property
    def kind(self) -> Kind:
        """By status; an exhausted account says 429 too, and waiting does not fill it."""
        status = self.status
        if status is None or status >= 500 or status in (408, 409, 425):
            return Kind.passing
        if status == 429:
            return Kind.final if self.code == "insufficient_quota" else Kind.busy
        return Kind.final if status < 400 or status in (401, 402, 403, 404, 405) else Kind.wrong

    def refused_field(self, sent: Mapping[str, Any]) -> str | None:
        """The optional field among those `sent` that the endpoint does not take, if that is it: it
        names the field as the one at fault, or says that there is none of that name. A mere mention
        (a prompt too long: "reduce max_tokens") is about this request alone."""
        if self.status not in (400, 422) or not (self.param or _REFUSED.search(self.said)):
            return None
        named = set(re.findall(r"\w+", self.param or self.said))
        return next((name for name in OPTIONAL if name in sent and name in named), None)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the endpoint wants to be left alone; None where it does not say.

        `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3).
        """
        for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
            try:
                return max(0.0, float(self.headers[name]) * unit)
            except (KeyError, ValueError):
                continue
        try:
            until = email.utils.parsedate_to_datetime(self.headers["retry-after"])
            return max(0.0, until.timestamp() - time.time())
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """An answer that is no reply. OpenAI puts an object under `error`, others a text, or the object
    itself, or a page."""
    text = body.decode(errors="replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = text
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    of_error = error if isinstance(error, dict) else {}
    said = " ".join(str(of_error.get("message") or error).split())
    return Failure(
        f"{status}: {said}",
        status,
        {name.lower(): value for name, value in headers.items()},
        str(of_error.get("param") or ""),
        str(of_error.get("code") or ""),
    )
