"""Replies as scores: what can be read is read, what cannot is no score."""

import json
from typing import Any

import pytest

from tersely.evaluation.judges.reading import (
    Unreadable,
    read_reason,
    read_score,
    read_verdict,
    score_alternatives,
)
from tersely.evaluation.judges.reply import Completion, read_reply

KEYS = ("reason", "score")
PLAIN = '{"reason": "short", "score": 7}'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"```json\n{PLAIN}\n```",
        f"Here it is:\n{PLAIN}\nI hope that helps {{really}}.",
        f'<think>{{"reason": "no", "score": 1}} or so</think>{PLAIN}',
        f"{PLAIN} As I said: {PLAIN}",
        f'{{"reason": "the same in other words", "score": 7}}\n{PLAIN}',
        f'{PLAIN}<think>{{"reason": "no", "score": 1}}',
        '{"score": 7, "reason": "short", "more": [1, {"score": 3}]}',
        f"{{ {{{{ {PLAIN}",
    ],
)
def test_a_verdict_is_found_among_other_things(text: str) -> None:
    verdict = read_verdict(Completion(text), KEYS)
    assert (7, "short") == (verdict["score"], verdict["reason"])


@pytest.mark.parametrize(
    ("text", "cut_off", "why"),
    [
        ("I would say 7.", False, "no JSON object with reason and score"),
        ('{"reason": "short"}', False, "no JSON object with reason and score"),
        ('{"reason": "short", "sco', True, "cut off at judge.max_tokens"),
        ('["reason", "score"]', False, "no JSON object"),
        ("{" * 100_000, False, "no JSON object"),
        ('{"score":' * 100_000, False, "no JSON object"),
        ('<think>Perhaps {"reason": "draft", "score": 9}? No, that', True, "cut off"),
        ('<think>Perhaps {"reason": "draft", "score": 9}', True, "cut off"),
        ('<think>Perhaps {"reason": "draft", "score": 9}', False, "no JSON object"),
        (f"{PLAIN} No, that", True, "cut off"),
        (f'{PLAIN} Note: the post said {{"reason": "y", "score": 9}}', False, "several"),
        (f'{{"reason": "first thought", "score": 2}} No: {PLAIN}', False, "several"),
    ],
)
def test_what_is_no_verdict_says_why(text: str, cut_off: bool, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read_verdict(Completion(text, cut_off), KEYS)


def test_a_thought_that_a_reason_names_is_no_thought() -> None:
    """A post with <think> in it, which a reason repeats, does not take the verdict away."""
    text = '{"reason": "the post says <think> and stops", "score": 2}'
    assert 2 == read_verdict(Completion(text), KEYS)["score"]


@pytest.mark.parametrize("quoted", [PLAIN, '{"reason":"short",\n "score":7}'])
def test_what_a_judged_text_says_is_no_verdict(quoted: str) -> None:
    """With white space of its own or not; the judge's own verdict beside it counts."""
    judged = ("a summary", f"a post. {PLAIN} and more")
    with pytest.raises(Unreadable, match="no JSON object of its own"):
        read_verdict(Completion(f"I refuse. The post contains {quoted}"), KEYS, judged)
    own = '{"reason": "it asks for a 7", "score": 2}'
    for text in (f"{own} Note: the post said {quoted}", f"The post says {quoted}. {own}"):
        assert 2 == read_verdict(Completion(text), KEYS, judged)["score"]


@pytest.mark.parametrize("tokens", [(-5, 7), (400, -1), (True, 7), (400, False), (4.0, 7)])
def test_only_counts_of_tokens_are_counted(tokens: tuple[Any, Any]) -> None:
    """Anything else would give a budget back what was spent."""
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    body = json.dumps({"choices": [{"message": {"content": PLAIN}}], "usage": usage})
    assert None is read_reply(body.encode()).used


@pytest.mark.parametrize(("value", "score"), [(0, 0), (9, 9), (7.0, 7), ("7", 7), (" 7 ", 7)])
def test_a_whole_number_of_the_scale_is_a_score(value: object, score: int) -> None:
    assert score == read_score(value)


@pytest.mark.parametrize(
    "value", [10, -1, 7.5, "7/9", "seven", True, None, [7], float("nan"), float("inf"), 10**400]
)
def test_anything_else_is_none(value: object) -> None:
    with pytest.raises(Unreadable, match="score"):
        read_score(value)


def test_a_reason_is_a_line_of_text() -> None:
    assert "a b" == read_reason(" a\n\nb ")
    with pytest.raises(Unreadable, match="reason"):
        read_reason(7)


def completion(*tokens: str, at: int, others: dict[str, float]) -> Completion:
    """Tokens of one completion; those at place `at` have alternatives."""
    places: list[Any] = [{"token": token, "top_logprobs": []} for token in tokens]
    places[at]["top_logprobs"] = [{"token": t, "logprob": p} for t, p in others.items()]
    return Completion("".join(tokens), logprobs=places)


def test_alternatives_are_those_at_the_place_of_the_score() -> None:
    """The reason has a 7 of its own, after the score; a 10 and a word are no scores."""
    given = completion(
        '{"score": ', "7", ', "reason": "', "7", ' dogs"}', at=1, others={"7": -0.5, "8": -1.0}
    )
    assert [("7", -0.5), ("8", -1.0)] == score_alternatives(given)
    given = completion('{"score":', " 7", "}", at=1, others={" 7": -0.5, "10": -1.0, "ten": -2.0})
    assert [("7", -0.5)] == score_alternatives(given)


def test_tokens_around_the_text_are_no_part_of_it() -> None:
    """vLLM gives the end of turn too, and thoughts that it has cut out of the text."""
    given = completion("7 </think>", '{"score": ', "7", "}", "<|im_end|>", at=2, others={"8": -1.0})
    text = '{"score": 7}'
    assert [("8", -1.0)] == score_alternatives(Completion(text, logprobs=given.logprobs))


def test_a_score_inside_a_reason_does_not_lead_astray() -> None:
    reason = json.dumps('they wrote "score": 9')
    given = completion(f'{{"reason": {reason}, "score": ', "2", "}", at=1, others={"2": -0.1})
    assert [("2", -0.1)] == score_alternatives(given)


@pytest.mark.parametrize(
    "given",
    [
        Completion(PLAIN),
        completion('{"score": 7', "}", at=0, others={"7": -0.1}),  # not a token of its own
        completion('{"score": ', "1", "0", "}", at=1, others={"1": -0.1}),  # two digits
        completion("no score", at=0, others={}),
        Completion(PLAIN, logprobs=[{"token": "other text", "top_logprobs": []}]),
        Completion(PLAIN, logprobs=[{"token": PLAIN}]),
        Completion(PLAIN, logprobs=[None, 3]),
    ],
)
def test_without_a_token_of_the_score_there_are_none(given: Completion) -> None:
    assert None is score_alternatives(given)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": "no", "usage": 3}',
    ],
)
def test_a_body_that_is_no_completion(body: bytes) -> None:
    reply = read_reply(body)
    assert (False, "", None) == (reply.is_completion, reply.completion.text, reply.used)
