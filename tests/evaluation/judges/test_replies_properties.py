"""Whatever an endpoint or a damaged cache says, it is a score that was given or a missing one."""

import json
import math
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Reply, Script, chat
from hypothesis import given, settings
from hypothesis import strategies as st

from tersely.errors import JudgeError
from tersely.evaluation.judges import cache as cache_module
from tersely.evaluation.judges.cache import FILE, Cache, Score
from tersely.evaluation.judges.config import EndpointConfig, GevalConfig, PanelConfig
from tersely.evaluation.judges.criteria import HIGHEST, LOWEST
from tersely.evaluation.judges.failures import refusal
from tersely.evaluation.judges.reading import (
    Unreadable,
    read_reason,
    read_score,
    read_verdict,
    score_alternatives,
)
from tersely.evaluation.judges.reply import Completion, read_reply
from tersely.evaluation.judges.verdicts import Judged

KEYS = (
    *("choices", "message", "content", "usage", "prompt_tokens", "completion_tokens", "reason"),
    *("score", "logprobs", "token", "top_logprobs", "logprob", "error"),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from([10**400, "7", " 7 ", "\u0667", "7.0", "score", "{", '{"score": 9}', 7.5]),
    st.floats(),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(body=st.one_of(st.binary(max_size=60), values.map(lambda tree: json.dumps(tree).encode())))
@settings(max_examples=300)
def test_any_body_is_read(body: bytes) -> None:
    """Tokens that it counts are numbers that a price can be made of."""
    reply = read_reply(body)
    assert isinstance(reply.completion.text, str)
    if reply.used is not None:
        assert all(math.isfinite(count * 1e12) for count in reply.used)


@given(body=st.one_of(st.binary(max_size=60), values.map(lambda tree: json.dumps(tree).encode())))
def test_any_refusal_is_a_failure(body: bytes) -> None:
    failure = refusal(429, {"Retry-After": body.decode(errors="replace")}, body)
    assert failure.retry_after is None or failure.retry_after >= 0


@pytest.mark.parametrize(
    "after", ["nan", "-5", "Mon, 01 Jan 0001 00:00:00 +2359", "x, 99 Foo 99999 99:99:99", "\u0667"]
)
def test_any_time_to_wait_is_a_number_or_none(after: str) -> None:
    seconds = refusal(429, {"Retry-After": after}, b"").retry_after
    assert seconds is None or 0 <= seconds


def test_a_deeply_nested_refusal_is_a_failure() -> None:
    """It exceeds what Python parses, which is no ValueError."""
    assert refusal(500, {}, b"[" * 100_000).said.startswith("500: [[[")


def test_a_count_that_nobody_can_have_used_is_none() -> None:
    """10^400 tokens have no price that is a number; what was set aside counts."""
    body = json.dumps({"usage": {"prompt_tokens": 10**400, "completion_tokens": 1}})
    assert None is read_reply(body.encode()).used


@given(verdict=values, text=st.text(max_size=20))
@settings(max_examples=300)
def test_what_is_read_is_a_score_of_the_scale_and_a_reason(verdict: Any, text: str) -> None:
    completion = Completion(f"{text}{json.dumps(verdict)}{text}")
    try:
        found = read_verdict(completion, ("reason", "score"))
        score, reason = read_score(found["score"]), read_reason(found["reason"])
    except Unreadable:
        return
    assert type(score) is int
    assert LOWEST <= score <= HIGHEST
    assert "\n" not in reason


TEXT = '{"score": 7}'


@given(
    tokens=st.lists(
        st.fixed_dictionaries(
            {
                "token": st.sampled_from(["7", "8", " 9", "x", ""]) | scalars,
                "logprob": st.floats(max_value=0) | scalars,
            }
        ),
        max_size=5,
    )
)
@settings(max_examples=400)
def test_alternatives_are_a_distribution_or_none(tokens: list[dict[str, Any]]) -> None:
    """The last token in front of it and after it are the text's; in its place stand any."""
    places: list[dict[str, Any]] = [
        {"token": '{"score": ', "top_logprobs": []},
        {"token": "7", "top_logprobs": tokens},
        {"token": "}", "top_logprobs": []},
    ]
    found = score_alternatives(Completion(TEXT, logprobs=places))
    for digit, logprob in found or []:
        assert digit in "0123456789"
        assert math.isfinite(logprob)
    assert sum(math.exp(logprob) for _, logprob in found or []) < 1.02


@pytest.mark.parametrize(
    ("alternatives", "why"),
    [
        ({"7": 50.0, "9": -1.0}, "a probability above 1"),
        ({"7": float("nan"), "9": -0.1}, "no number"),
        ({"7": float("inf")}, "infinitely likely"),
        ({"7": -0.1, "8": -0.1, "9": -0.1}, "together 2.7"),
    ],
)
def test_probabilities_that_cannot_be_leave_the_score_that_was_given(
    alternatives: dict[str, float],
    why: str,
    serve: Callable[[Script], FakeEndpoint],
    configured: Callable[..., EndpointConfig],
    item: Judged,
) -> None:
    """The 7 is 7/9, neither weighed by them nor NaN nor an error of `math.exp`."""
    text = '{"reason": "r", "score": 7}'
    tokens = [('{"reason": "r", "score": ', {}), ("7", alternatives), ("}", {})]
    endpoint = serve(lambda body, number: chat(text, tokens=tokens))
    judged = configured(endpoint).build().judge([item])
    assert {7 / 9} == {each.score for each in judged.verdicts}


@pytest.mark.parametrize("kind", [GevalConfig, PanelConfig])
def test_odd_answers_are_missing_verdicts(
    kind: type[EndpointConfig],
    serve: Callable[[Script], FakeEndpoint],
    configured: Callable[..., EndpointConfig],
    item: Judged,
) -> None:
    """Text in place of JSON, lists, numbers, bytes cut short: no score, and no traceback."""
    odd = ["", "<html>", '{"choices": [', "[" * 50_000, "null", '{"choices": [[]]}', "5"]
    odd.append('{"choices": [{"message": {"content": {"score": 9}}}]}')
    for said in odd:
        endpoint = serve(lambda body, number, said=said: Reply(said))
        judged = configured(endpoint, kind, attempts=1).build().judge([item])
        assert {None} == {each.score for each in judged.verdicts}


SCORES = {"clarity": Score(0.5, "why")}


@given(
    entry=st.one_of(
        st.binary(max_size=20),
        st.text(max_size=20).filter(lambda text: "\0" not in text),
        values.map(json.dumps),
        scalars.map(lambda score: json.dumps({"clarity": [score, "why"]})),
        st.just('{"clarity": [true, "why"]}'),
        st.just("[" * 50_000),
        st.none(),
        st.integers(-5, 5),
        st.floats(),
    )
)
@settings(max_examples=40)
def test_a_kept_entry_is_a_score_or_absent(entry: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Cache(Path(folder)) as cache:
            cache.put("key", SCORES)
        with sqlite3.connect(Path(folder) / FILE) as database:
            try:
                database.execute("UPDATE replies SET scores = ?", (entry,))
            except UnicodeEncodeError:  # SQLite has no half characters
                return
        database.close()
        with Cache(Path(folder)) as cache:
            found = cache.get("key", ("clarity",))
    if found is not None:
        assert type(found["clarity"].score) is float
        assert 0 <= found["clarity"].score <= 1


def test_a_table_of_another_version_is_an_error_before_anything_is_paid(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("CREATE TABLE replies (key TEXT PRIMARY KEY, verdict TEXT)")
    database.close()
    with (
        Cache(tmp_path) as cache,
        pytest.raises(JudgeError, match=r"no such column: scores.*judge\.cache_folder"),
    ):
        cache.get("key", ("clarity",))


def test_a_cache_that_another_process_holds_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an entry that is asked for again: nothing could be kept of what is paid for."""
    monkeypatch.setattr(cache_module, "PATIENCE_S", 0.05)
    with Cache(tmp_path) as cache:
        cache.put("key", SCORES)
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("INSERT INTO replies VALUES ('other', '{}')")
    try:
        with pytest.raises(JudgeError, match="database is locked"), Cache(tmp_path) as cache:
            cache.get("key", ("clarity",))
    finally:
        holder.close()
