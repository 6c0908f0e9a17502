"""Stages that are made to fail and really trained: what is wrong is found, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tersely.objective.aggregation import Aggregation
from tersely.records import Group
from tersely.rewards.bleu import BleuConfig
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Term
from tersely.training.config import Precision

Watched = Callable[..., set[str]]
LENGTH = LengthConfig(target=8).build()
STUCK: dict[str, Any] = {"draw_from": lambda asked, now: 0, "learning_rate": 1e-3}
"""The first weights sample all along."""


def lengths(group: Group) -> list[float]:
    return [float(rollout.length) for rollout in group.rollouts]


def first_id(group: Group) -> list[float]:
    """A quality that has nothing to do with length."""
    return [float(rollout.token_ids[0] % 7) for rollout in group.rollouts]


def without_its_end(group: Group) -> Group:
    """As the study trained: a completion is its text, tokenised again."""
    return replace(
        group,
        rollouts=tuple(
            replace(
                each,
                token_ids=each.token_ids[:-1] or (1999,),
                sampler_logprobs=each.sampler_logprobs[:-1] or (-7.6,),
            )
            if each.finish_reason == "stop"
            else each
            for each in group.rollouts
        ),
    )


@pytest.mark.parametrize(
    ("found", "steps", "how"),
    [
        # The policy itself samples, and says that it was the weights before.
        ({"ratio_constant"}, 12, {"draw_from": lambda asked, now: now}),
        ({"few_changes"}, 10, {"precision": Precision.bf16, "learning_rate": 2e-6}),
        ({"gradient_clipped"}, 20, {"max_gradient_norm": 0.01}),
        ({"reference_moved"}, 10, {"reference": lambda policy: policy.model}),
        ({"sampler_disagrees"}, 3, {"sampled_at": 0.2}),
        ({"sync_not_taken"}, 20, STUCK),
        ({"sync_not_taken"}, 20, STUCK | {"aggregation": Aggregation.token_mean}),
        # Most completions end long before: the weighted divergence is a tenth of the plain one.
        (
            {"sync_not_taken"},
            20,
            STUCK | {"aggregation": Aggregation.constant, "max_tokens": 120},
        ),
        ({"end_never_label"}, 3, {"damage": without_its_end}),
        ({"completions_cut"}, 10, {"max_tokens": 3}),
        ({"term_constant"}, 10, {"terms": (LENGTH, *BleuConfig(bleu_smooth=False).quality())}),
        (
            {"no_spread", "term_constant"},
            10,
            {"terms": BleuConfig(bleu_smooth=False).quality()},
        ),
        ({"one_term_decides"}, 20, {"terms": (LENGTH, Term("drowned", 1e-3, first_id))}),
        (
            {"same_text", "no_spread", "completions_cut"},
            10,
            {"sampled_at": 0.01, "temperature": 0.01, "learning_rate": 1e-7},
        ),
        (
            {"length_drift", "same_text"},
            30,
            {"terms": (Term("short", -1.0, lengths),), "learning_rate": 1e-2},
        ),
        (
            {"length_drift", "completions_cut"},
            30,
            {"terms": (Term("long", 1.0, lengths),), "learning_rate": 1e-2},
        ),
    ],
)
def test_what_goes_wrong_is_found(
    found: set[str], steps: int, how: dict[str, Any], watched: Watched
) -> None:
    assert found == watched(steps=steps, **how)


@pytest.mark.parametrize(
    ("found", "how"),
    [
        ({"sync_not_taken"}, STUCK | {"steps": 20}),
        ({"reference_moved"}, {"reference": lambda policy: policy.model, "steps": 2}),
    ],
)
def test_it_is_found_across_processes_too(
    found: set[str], how: dict[str, Any], watched: Watched
) -> None:
    """Each step is seen by another process; the reference is then compared at once."""
    assert found == watched(interrupted=True, **how)
