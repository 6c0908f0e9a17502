"""Replies of a judge as scores. What cannot be read is no score."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tersely.evaluation.judges.criteria import HIGHEST, LOWEST
from tersely.evaluation.judges.reply import CUT_OFF, Completion

ROUNDING = 1e-3
"""By how much a log-probability may be above 0, for endpoints that round it."""

MASS_ROUNDING = 0.01
"""By how much probabilities of different tokens may add up to more than 1."""

LOWEST_LOGPROB = -1e4
"""What is below counts as this: 0, when it is a probability."""

_START = re.compile(r"\{|<think>")
_CLOSED = "</think>"
_SCORE = re.compile(r'"score"\s*:\s*"?(\d)(?!\d)')


class Unreadable(Exception):
    """A reply that is no verdict; the message says why."""


def read_verdict(
    completion: Completion, keys: Iterable[str], judged: Iterable[str] = ()
) -> dict[str, Any]:
    """The JSON object of a reply that has all `keys`; fences, remarks and thoughts around it are
    passed over, and so is what the reply quotes from the texts that are `judged`.

    Raises `Unreadable`, also where several objects differ in a score: which of them is the verdict
    and which is a draft, or a stranger's, cannot be told.
    """
    wanted, text = set(keys), completion.text
    quotable = ["".join(each.split()) for each in judged]
    found = [(place, value) for place, value in _objects(text) if wanted <= set(value)]
    own = [
        (end, value)
        for (start, end), value in found
        if not any("".join(text[start:end].split()) in each for each in quotable)
    ]
    # A verdict that others follow is one that the judge may have been about to take back.
    if completion.cut_off and (not own or text[own[-1][0] :].strip(" \n\r\t`")):
        raise Unreadable(CUT_OFF)
    if not own:
        what = "of its own " if found else ""
        raise Unreadable(f"the reply has no JSON object {what}with {' and '.join(sorted(wanted))}")
    verdict = own[-1][1]
    if any(_scores(other, wanted) != _scores(verdict, wanted) for _, other in own):
        raise Unreadable("the reply has several JSON objects, with other scores")
    return verdict


def _scores(verdict: dict[str, Any], keys: set[str]) -> list[int | float | str | None]:
    """What two verdicts have to agree in: all but the wording of reasons."""
    given = [verdict[key] for key in sorted(keys - {"reason"})]
    scores = [each.get("score") if isinstance(each, dict) else each for each in given]
    return [each if isinstance(each, int | float | str) else None for each in scores]


def read_score(value: object) -> int:
    """A score of the scale. Raises `Unreadable` for anything else; a 7.0 and a "7" are 7."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d\s*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        # Not repeated: it may be the endpoint's echo of the key, and a piece of one says too much.
        raise Unreadable("the score is no whole number")
    if not LOWEST <= value <= HIGHEST:
        raise Unreadable(f"the score is outside of {LOWEST} to {HIGHEST}")
    return int(value)


def read_reason(value: object) -> str:
    """A reason as one line of text. Raises `Unreadable` if it is no text."""
    if not isinstance(value, str):
        raise Unreadable("the reason is no text")
    return " ".join(value.split())


def score_alternatives(completion: Completion) -> list[tuple[str, float]] | None:
    """The scores that might have stood where the score stands, with their log-probabilities.

    Found by its place in the reply: a reason may well have the same digit, before or after it. None
    without log-probabilities, or where that place is not one token of one digit.
    """
    places = [
        start + match.start(1)
        for (start, end), _ in _objects(completion.text)
        for match in _SCORE.finditer(completion.text, start, end)
    ]
    try:
        token = _token_at(places, completion)
        if token is None or token["token"].strip() != completion.text[places[0]]:
            return None
        others = [(each["token"].strip(), each["logprob"]) for each in token["top_logprobs"]]
    except (AttributeError, LookupError, TypeError):
        return None
    # No part of a distribution is taken where another part cannot be right.
    if not all(type(at) in (int, float) and at <= ROUNDING for _, at in others):
        return None
    found = [(digit, max(float(LOWEST_LOGPROB), at)) for digit, at in others if digit in _DIGITS]
    return found if sum(math.exp(at) for _, at in found) <= 1 + MASS_ROUNDING else None


def _token_at(places: list[int], completion: Completion) -> Any:
    """The token at the only place of the text; None if there are several, or other tokens than
    the text's. Tokens of a thought may come before it, that of the end of turn after it."""
    tokens = completion.logprobs
    if tokens is None or len(places) != 1:
        return None
    start = "".join(token["token"] for token in tokens).rfind(completion.text)
    position = 0
    for token in tokens:
        position += len(token["token"])
        if 0 <= start <= start + places[0] < position:
            return token
    return None


_DIGITS = {str(score) for score in range(LOWEST, HIGHEST + 1)}


def _objects(text: str) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """The outermost JSON objects of a text and where they stand, but for those in a thought. One
    that does not close goes to the end; a <think> inside an object is a word of its reason."""
    end = 0
    while found := _START.search(text, end):
        start = found.start()
        if found[0] != "{":
            closed = text.find(_CLOSED, start)
            if closed < 0:
                return
            end = closed + len(_CLOSED)
            continue
        try:
            value, end = _DECODER.raw_decode(text, start)
        except ValueError:
            end = start + 1
        except RecursionError:
            return
        else:
            yield (start, end), value


_DECODER = json.JSONDecoder()
