"""Which plan is taken under which limit, and what counts as standing."""

import logging
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from tersely.policy.load import Policy
from tersely.policy.logprobs import Scorer
from tersely.policy.tuning import LoraConfig
from tersely.training.chunks import Plan, plans
from tersely.training.config import Precision, TrainerConfig
from tersely.training.footprint import Footprint
from tersely.training.memory import Memory, standing_bytes

Load = Callable[..., Policy]

PROMPT, LENGTHS = 200, [40, 64, 50, 64, 10, 33]


def memory(policy: Policy, *, with_reference: bool = False, **trainer: Any) -> Memory:
    config = TrainerConfig(**{"steps": 1, "precision": Precision.fp32} | trainer)
    return Memory(Scorer(policy.model), config, with_reference=with_reference)


def gigabytes_for(policy: Policy, plan: Plan) -> float:
    """The least limit that allows `plan`."""
    scorer = Scorer(policy.model)
    standing = standing_bytes(scorer, Precision.fp32, with_reference=False)
    return (standing + Footprint(scorer).working_bytes(PROMPT, plan)) / 1e9


def weights(policy: Policy) -> int:
    return sum(int(array.size) for _, array in tree_flatten(policy.parameters()))


def test_where_there_is_room_everything_is_done_at_once(policy: Policy) -> None:
    plan = memory(policy, memory_limit_gb=8.0).plan(PROMPT, LENGTHS)
    assert (True, False) == (plan.together, plan.checkpoint)


def test_the_fastest_plan_that_fits_is_taken(policy: Policy) -> None:
    """With the limit that a plan needs, to the byte, it or an earlier one that needs no more is
    taken; with less than any of them needs, the one that needs least."""
    every = list(plans(LENGTHS, None, None))
    needed = [gigabytes_for(policy, plan) for plan in every]

    for limit in needed:
        first = next(place for place, each in enumerate(needed) if each <= limit)
        assert every[first] == memory(policy, memory_limit_gb=limit + 1e-9).plan(PROMPT, LENGTHS)
    less = min(needed) - 1e-6
    smallest = every[needed.index(min(needed))]
    assert smallest == memory(policy, memory_limit_gb=less).plan(PROMPT, LENGTHS)


def test_the_smaller_the_limit_the_smaller_the_chunks(policy: Policy) -> None:
    """Down to what needs least, one or two completions at a time."""
    whole = gigabytes_for(policy, next(plans(LENGTHS, None, None)))

    def largest(share: float) -> int:
        plan = memory(policy, memory_limit_gb=whole * share).plan(PROMPT, LENGTHS)
        return max(len(chunk.rows) for chunk in plan.chunks)

    sizes = [largest(share) for share in (1.0, 0.99, 0.98, 0.95, 0.5)]

    assert sorted(sizes, reverse=True) == sizes
    assert sizes[0] > 2 >= sizes[-1]


def test_what_is_given_is_taken_however_little_memory_there_is(policy: Policy) -> None:
    given = memory(
        policy, memory_limit_gb=1e-3, rollouts_per_chunk=2, checkpoint_layers=False
    ).plan(PROMPT, LENGTHS)

    assert 2 == max(len(chunk.rows) for chunk in given.chunks)
    assert (False, False) == (given.together, given.checkpoint)


def test_checkpoints_can_be_asked_for_where_there_is_room(policy: Policy) -> None:
    plan = memory(policy, memory_limit_gb=8.0, checkpoint_layers=True).plan(PROMPT, LENGTHS)
    assert (True, True) == (plan.together, plan.checkpoint)


def test_the_same_limit_makes_the_same_plan(policy: Policy) -> None:
    """It follows from shapes, not from what happens to be in memory."""
    limit = gigabytes_for(policy, list(plans(LENGTHS, None, None))[2])
    first = memory(policy, memory_limit_gb=limit).plan(PROMPT, LENGTHS)
    held = mx.ones(10_000_000)
    mx.eval(held)
    assert first == memory(policy, memory_limit_gb=limit).plan(PROMPT, LENGTHS)


def test_too_little_memory_is_said_once_with_what_to_set(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on: the estimate may be too high."""
    tight = memory(policy, memory_limit_gb=0.001)
    with caplog.at_level(logging.WARNING):
        tight.plan(PROMPT, LENGTHS)
        tight.plan(PROMPT, LENGTHS)

    (said,) = [record.getMessage() for record in caplog.records]
    assert "0.0 GB are allowed" in said
    for remedy in ("trainer.memory_limit_gb", "trainer.precision=bf16_stochastic", "tuning=lora"):
        assert remedy in said


def test_enough_memory_is_not_warned_of(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        memory(policy, memory_limit_gb=8.0).plan(PROMPT, LENGTHS)
    assert not caplog.records


@pytest.mark.parametrize(
    ("precision", "with_reference", "expected"),
    [
        # Weights 4, gradient 4, two means 8, the sampler's snapshot 4.
        (Precision.fp32, False, 20),
        # And the reference 4.
        (Precision.fp32, True, 24),
        # Weights 2, gradient and means 12, snapshot 2.
        (Precision.bf16, False, 16),
        (Precision.bf16_stochastic, True, 18),
        # And the master 4.
        (Precision.bf16_master, False, 20),
    ],
)
def test_bytes_a_weight(
    precision: Precision, with_reference: bool, expected: int, eager: Load
) -> None:
    policy = eager()
    policy.model.set_dtype(mx.float32 if precision is Precision.fp32 else mx.bfloat16)

    standing = standing_bytes(Scorer(policy.model), precision, with_reference=with_reference)

    assert expected * weights(policy) == standing


def test_weights_that_are_not_trained_stand_once(eager: Load) -> None:
    """4 bytes each; of an adapter's weights there are 20 bytes each, as of any other."""
    policy = eager()
    base = weights(policy)
    policy.attach(LoraConfig(rank=4), seed=1)
    adapters = weights(policy) - base

    standing = standing_bytes(Scorer(policy.model), Precision.fp32, with_reference=False)

    assert 4 * base + 20 * adapters == standing


def test_an_update_says_what_it_may_use(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        memory(policy, memory_limit_gb=8.0)
    assert "8.00 GB may be used" in caplog.text


def test_unset_it_is_the_machine_s(policy: Policy) -> None:
    """Enough for a group of the tests on any machine."""
    assert memory(policy).plan(PROMPT, LENGTHS).together
