"""Greedy summaries of a split: every prompt answered, in its place."""

from collections.abc import Sequence

import pytest

from tersely.evaluation import summaries
from tersely.evaluation.decoding import DecodingConfig
from tersely.evaluation.summaries import Summary, greedy_summaries, write_summaries
from tersely.policy.load import Policy
from tersely.records import Example, Prompt
from tersely.rollout.decode import decode

LENGTHS = [30, 5, 17, 2, 44, 8, 29, 11, 3]
PROMPTS = [
    Prompt(Example(f"post {place}", "words", ("a reference",)), tuple(range(400, 400 + length)))
    for place, length in enumerate(LENGTHS)
]


def write(policy: Policy, prompts: Sequence[Prompt] = PROMPTS, **more: object) -> list[Summary]:
    return greedy_summaries(policy.model, policy.tokenizer, prompts, 10, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_each_summary_is_the_one_of_its_prompt_alone(
    batch: int, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts are sorted by length and decoded in batches; the order that comes back is theirs."""
    monkeypatch.setattr(summaries, "BATCH", batch)
    tokens = [prompt.token_ids for prompt in PROMPTS]
    free = decode(policy.model, tokens, 1, max_tokens=10, end_of_turn_ids=())
    # The one real end is never the likeliest token of random weights; these two are at times.
    ends = frozenset({free[0][0].token_ids[3], free[1][0].token_ids[5]})
    policy.tokenizer.end_of_turn_ids = ends

    written = write(policy)

    assert [prompt.example for prompt in PROMPTS] == [summary.example for summary in written]
    for prompt, summary in zip(PROMPTS, written, strict=True):
        ((alone,),) = decode(
            policy.model, [prompt.token_ids], 1, max_tokens=10, end_of_turn_ids=ends
        )
        assert policy.tokenizer.decode(alone.token_ids) == summary.text
        assert (alone.finish_reason == "stop") == summary.stopped
        assert len(alone.token_ids) - (alone.finish_reason == "stop") == summary.length
    assert {True, False} == {summary.stopped for summary in written}


def test_progress_is_how_many_are_done(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "BATCH", 4)
    told: list[int] = []
    write(policy, progress=told.append)
    assert len(told) > len(PROMPTS) / 4  # within a batch too
    assert sorted(told) == told
    assert {4, 8, 9} <= set(told)
    assert 9 == told[-1]


def test_no_prompts_no_summaries(policy: Policy) -> None:
    assert [] == write(policy, [])


def sample(policy: Policy, seed: int, samples: int = 3, **more: float) -> list[Summary]:
    decoding = DecodingConfig(max_tokens=10, temperature=1.0, samples=samples, **more)  # type: ignore[arg-type]
    return write_summaries(policy.model, policy.tokenizer, PROMPTS, decoding, seed)


@pytest.mark.parametrize("batch", [1, 6, 64])
def test_samples_of_a_post_stand_together(
    batch: int, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the prompts' order, numbered, and each of its own; a batch of 1 still has one prompt."""
    monkeypatch.setattr(summaries, "BATCH", batch)
    written = sample(policy, seed=0)
    assert [prompt.example for prompt in PROMPTS for _ in range(3)] == [s.example for s in written]
    assert [0, 1, 2] * len(PROMPTS) == [summary.sample for summary in written]
    assert len({summary.text for summary in written}) > 2 * len(PROMPTS)


def test_a_seed_gives_the_same_samples_and_another_gives_others(policy: Policy) -> None:
    first = [summary.text for summary in sample(policy, seed=1)]
    assert first == [summary.text for summary in sample(policy, seed=1)]
    assert first != [summary.text for summary in sample(policy, seed=2)]


def test_a_nucleus_of_one_token_is_greedy(policy: Policy) -> None:
    """top_p=1e-6 leaves the most likely token alone: the samples are the greedy summaries."""
    greedy = [summary.text for summary in write(policy)]
    assert greedy == [summary.text for summary in sample(policy, seed=5, samples=1, top_p=1e-6)]


def test_a_greedy_summary_is_no_sample(policy: Policy) -> None:
    assert {None} == {summary.sample for summary in write(policy)}


def test_progress_counts_samples(policy: Policy) -> None:
    told: list[int] = []
    decoding = DecodingConfig(max_tokens=4, temperature=1.0, samples=2)
    write_summaries(policy.model, policy.tokenizer, PROMPTS, decoding, progress=told.append)
    assert 2 * len(PROMPTS) == told[-1]
