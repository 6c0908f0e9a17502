"""Batched decoding against one sequence at a time, and its log-probabilities against the scorer."""

import math
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from architectures import windowed
from mlx_lm.models.cache import ChunkedKVCache

from tersely.errors import ModelError
from tersely.policy.load import Policy, load_policy
from tersely.policy.logprobs import completion_logprobs
from tersely.rollout import decode as decoding
from tersely.rollout.decode import PLAIN, Completion, Transform, decode, nucleus

PROMPTS = [[5, 9, 301, 77, 8], [1000 + 7 * n for n in range(30)], [2047, 3], [64, 128, 256]]
"""P = 4, of different lengths, so that the batch is padded."""
ENDS = range(300)
"""So many ids end a turn that a random model, too, ends some rows early."""


def sample(
    model: nn.Module, key: int, group_size: int = 3, transform: Transform = PLAIN
) -> list[list[Completion]]:
    return decode(
        model,
        PROMPTS,
        group_size,
        max_tokens=12,
        end_of_turn_ids=ENDS,
        transform=transform,
        key=mx.random.key(key),
    )


def greedy(model: nn.Module, max_tokens: int = 12) -> list[list[Completion]]:
    return decode(model, PROMPTS, 1, max_tokens=max_tokens, end_of_turn_ids=ENDS)


def test_greedy_decoding_is_argmax_step_by_step_without_a_cache(policy: Policy) -> None:
    """Prompts of different length in one batch, both architectures."""
    for prompt, (completion,) in zip(PROMPTS, greedy(policy.model), strict=True):
        expected: list[int] = []
        while len(expected) < 12 and not (expected and expected[-1] in ENDS):
            logits = policy.model(mx.array([prompt + expected]))[0, -1]
            expected.append(int(mx.argmax(logits).item()))
        assert expected == completion.token_ids


def test_the_same_key_gives_the_same_completions(policy: Policy) -> None:
    """And another key gives others; the rows of a group differ too."""
    first = sample(policy.model, key=3)

    assert first == sample(policy.model, key=3)
    assert first != sample(policy.model, key=4)
    assert all(len({tuple(row.token_ids) for row in group}) == 3 for group in first)


@pytest.mark.parametrize("shrink_below", [0.0, 1.0])
def test_sampled_logprobs_are_those_of_the_scorer(
    policy: Policy, shrink_below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens in, tokens out: the ratio of a fresh rollout is 1, at temperature 0.7 as well."""
    monkeypatch.setattr(decoding, "SHRINK_BELOW", shrink_below)
    decoded = sample(policy.model, key=5, transform=Transform(temperature=0.7))

    ids = [[row.token_ids for row in group] for group in decoded]
    scored = completion_logprobs(policy.model, PROMPTS, ids, temperature=0.7)

    assert len({len(row) for group in ids for row in group}) > 3  # rows did end at many places
    for p, group in enumerate(decoded):
        for g, row in enumerate(group):
            np.testing.assert_allclose(
                row.logprobs,
                np.array(scored.logprobs[p, g, : len(row.token_ids)]),
                rtol=1e-5,
                atol=1e-5,
            )


def test_a_completion_ends_with_its_turn_or_at_the_limit(policy: Policy) -> None:
    """The end-of-turn id is kept, nothing follows it, and the reason says which it was."""
    rows = [row for group in sample(policy.model, key=6) for row in group]

    assert {"stop", "length"} == {row.finish_reason for row in rows}
    for row in rows:
        assert len(row.token_ids) == len(row.logprobs)
        assert not any(token in ENDS for token in row.token_ids[:-1])
        if row.finish_reason == "stop":
            assert row.token_ids[-1] in ENDS
            assert len(row.token_ids) <= 12
        else:
            assert row.token_ids[-1] not in ENDS
            assert 12 == len(row.token_ids)


def test_a_turn_that_ends_with_the_last_token_has_stopped_by_itself(policy: Policy) -> None:
    """The limit of 1 cuts nothing where that one token ends the turn."""
    ids = [group[0].token_ids[0] for group in greedy(policy.model, max_tokens=1)]
    decoded = decode(policy.model, PROMPTS, 1, max_tokens=1, end_of_turn_ids=ids[:1])

    assert ids == [group[0].token_ids[0] for group in decoded]
    assert [token == ids[0] for token in ids] == [g[0].finish_reason == "stop" for g in decoded]


@pytest.fixture
def batches(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every call of the model, as they come."""
    seen: list[int] = []
    call = type(policy.model).__call__

    def counted(model: nn.Module, inputs: mx.array, *args: object, **kwargs: object) -> mx.array:
        seen.append(inputs.shape[0])
        return call(model, inputs, *args, **kwargs)

    monkeypatch.setattr(type(policy.model), "__call__", counted)
    return seen


def test_dropping_ended_rows_changes_no_other_row(
    policy: Policy, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy decoding with the rows dropped at once, and with all of them kept to the end."""
    # Each row's own third, fourth, ... token ends it, so that rows end at different places.
    free = decode(policy.model, PROMPTS, 1, max_tokens=12, end_of_turn_ids=())
    ends = {group[0].token_ids[2 + place] for place, group in enumerate(free[:3])}

    decoded = {}
    for shrink_below in (0.0, 1.0):
        monkeypatch.setattr(decoding, "SHRINK_BELOW", shrink_below)
        batches.clear()
        decoded[shrink_below] = decode(
            policy.model, PROMPTS, 1, max_tokens=12, end_of_turn_ids=ends
        )
        smallest = min(batches[len(PROMPTS) :])
        assert (4 if shrink_below == 0 else 1) == smallest

    for kept, dropped in zip(decoded[0.0], decoded[1.0], strict=True):
        assert kept[0].token_ids == dropped[0].token_ids
        assert kept[0].finish_reason == dropped[0].finish_reason
        np.testing.assert_allclose(kept[0].logprobs, dropped[0].logprobs, rtol=1e-5)
    assert {"stop", "length"} == {group[0].finish_reason for group in decoded[1.0]}


def test_decoding_stops_when_every_row_has_ended(policy: Policy, batches: list[int]) -> None:
    """A limit of 1,000 costs nothing once all turns are over; each prompt is read once."""
    decoded = decode(
        policy.model,
        PROMPTS,
        2,
        max_tokens=1000,
        end_of_turn_ids=range(2048),
        key=mx.random.key(0),
    )
    assert [1, 1, 1, 1, 4 * 2] == batches
    assert {1} == {len(row.token_ids) for group in decoded for row in group}


def test_nucleus_of_a_distribution_worked_by_hand() -> None:
    """p = 0.5, 0.3, 0.15, 0.05 in another order; mass before each: 0, 0.5, 0.8, 0.95.

    top_p 0.7 keeps the tokens with less than 0.7 before them: 0.5 and 0.3. A top_p below the
    likeliest token's probability keeps that one.
    """
    logprobs = mx.log(mx.array([[0.15, 0.5, 0.05, 0.3], [0.05, 0.15, 0.3, 0.5]]))

    def kept(top_p: float) -> list[list[bool]]:
        return (nucleus(logprobs, top_p) > -math.inf).tolist()

    assert [[False, True, False, True], [False, False, True, True]] == kept(0.7)
    assert [[True, True, False, True], [False, True, True, True]] == kept(0.9)
    assert [[False, True, False, False], [False, False, False, True]] == kept(0.01)
    assert [[True] * 4] * 2 == kept(0.99)


def test_transform_divides_by_the_temperature_and_leaves_the_nucleus_to_the_draw() -> None:
    """Logits log 1, log 4, log 9 at temperature 2: sqrt gives 1, 2, 3, so p = 1/6, 2/6, 3/6."""
    logits = mx.log(mx.array([[1.0, 4.0, 9.0]]))

    whole = Transform(temperature=2.0).logprobs(logits)
    np.testing.assert_allclose(np.exp(whole), [[1 / 6, 2 / 6, 3 / 6]], rtol=1e-6)
    cut = Transform(temperature=2.0, top_p=0.7).logprobs(logits)
    np.testing.assert_allclose(np.exp(cut), [[1 / 6, 2 / 6, 3 / 6]], rtol=1e-6)
    assert mx.float32 == Transform().logprobs(logits.astype(mx.bfloat16)).dtype


def test_no_token_outside_the_nucleus_is_drawn(policy: Policy) -> None:
    """And its log-probability is the policy's own, recomputed here in float64 from a pass
    without a cache: the ratio of a fresh rollout is 1 whatever the nucleus."""
    top_p = 0.3
    drawn = 0
    for prompt, group in zip(
        PROMPTS, sample(policy.model, key=8, transform=Transform(1.0, top_p)), strict=True
    ):
        for row in group:
            logits = policy.model(mx.array([prompt + row.token_ids]))[0, len(prompt) - 1 : -1]
            for t, token in enumerate(row.token_ids):
                p = np.exp(np.array(logits[t], dtype=np.float64))
                p /= p.sum()
                likelier = p[p > p[token]].sum()
                assert likelier < top_p
                expected = math.log(p[token])
                assert expected == pytest.approx(row.logprobs[t], abs=1e-3)
                drawn += 1
    assert drawn > 50


def test_a_rotating_window_decodes_too() -> None:
    """Gemma 3 keeps windows shorter than a prompt; tokens and log-probabilities hold even so."""
    mx.random.seed(0)
    model = windowed()

    decoded = sample(model, key=1)

    scored = completion_logprobs(model, PROMPTS, [[row.token_ids for row in g] for g in decoded])
    for p, group in enumerate(decoded):
        for g, row in enumerate(group):
            np.testing.assert_allclose(
                row.logprobs,
                np.array(scored.logprobs[p, g, : len(row.token_ids)]),
                rtol=1e-4,
                atol=1e-4,
            )


def test_a_cache_that_cannot_be_batched_is_an_error_with_a_name(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Llama 4 keeps chunks, which mlx-lm does not merge."""
    monkeypatch.setattr(
        decoding, "make_prompt_cache", lambda model: [ChunkedKVCache(64) for _ in model.layers]
    )
    with pytest.raises(ModelError, match="cannot be batched"):
        greedy(load_policy(checkpoint("qwen2")).model)
