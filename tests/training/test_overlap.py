"""Overlap beside the plain computation."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from mlx import optimizers
from mlx.utils import tree_flatten

from tersely.errors import ConfigError
from tersely.objective.advantages import ZScoreConfig
from tersely.objective.config import GrpoConfig
from tersely.objective.correction_config import NoCorrection
from tersely.policy.load import Policy
from tersely.records import Batch, Group, Prompt
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Mixture
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Snapshot
from tersely.training.config import Precision, TrainerConfig
from tersely.training.order import PromptOrder
from tersely.training.precision import Weights
from tersely.training.trainer import schedule_of, train
from tersely.training.update import Updater

SEED, STEPS = 4, 4
TRAINER = TrainerConfig(steps=STEPS, learning_rate=3e-3, precision=Precision.fp32)
LENGTH = Mixture((LengthConfig(target=6).build(),))


class Nowhere:
    def step(self, step: int, metrics: object) -> None:
        """A reporter."""


def rollout(max_staleness: int, sync_every: int = 1) -> LocalConfig:
    return LocalConfig(
        group_size=4, max_tokens=12, max_staleness=max_staleness, sync_every=sync_every
    )


def trained(policy: Policy, prompts: Sequence[Prompt], config: LocalConfig) -> None:
    train(
        policy,
        prompts,
        LENGTH,
        config.build(policy, SEED),
        trainer=TRAINER,
        rollout=config,
        advantage=ZScoreConfig(),
        loss=GrpoConfig(beta=0),
        correction=NoCorrection(),
        seed=SEED,
        reporter=Nowhere(),
        skipped=Path("never"),
    )


def plainly(policy: Policy, prompts: Sequence[Prompt], sampled_after: Sequence[int]) -> None:
    """Sample and update by turns, in one thread, with whole batches: step s with the weights
    after `sampled_after[s]` steps."""
    config = rollout(0)
    sampler = config.build(policy, SEED)
    adamw = optimizers.AdamW(
        learning_rate=3e-3, betas=[0.9, 0.99], weight_decay=0.0, bias_correction=True
    )
    weights = Weights(policy.model, adamw, Precision.fp32, SEED)
    updater = Updater(
        policy.model,
        None,
        GrpoConfig(beta=0).build(),
        weights,
        aggregation=GrpoConfig().aggregation,
        trainer=TRAINER,
        max_tokens=12,
        temperature=1.0,
    )
    order = PromptOrder(prompts, TRAINER.prompts_per_step, SEED)
    kept = []
    for step in range(STEPS):
        kept.append(policy.parameters())
        groups: tuple[Group, ...] = sampler.sample(
            order(step), Snapshot(kept[sampled_after[step]], 0), step
        )
        advantages = [ZScoreConfig().build()(LENGTH.score(group).reward) for group in groups]
        updater.step(Batch(step, groups), advantages)


def bits(policy: Policy) -> dict[str, bytes]:
    return {name: np.array(array).tobytes() for name, array in tree_flatten(policy.parameters())}


@pytest.mark.parametrize(
    ("config", "sampled_after"),
    [
        (rollout(0), [0, 1, 2, 3]),
        (rollout(1), [0, 0, 1, 2]),
        (rollout(2, sync_every=2), [0, 0, 0, 2]),
    ],
    ids=["in turn", "one update behind", "new weights every other step"],
)
def test_overlap_is_the_plain_loop_bit_for_bit(
    config: LocalConfig,
    sampled_after: list[int],
    eager: Callable[[], Policy],
    prompts: Sequence[Prompt],
) -> None:
    """Sampling in another thread, queued ahead, changes nothing but when it is done."""
    start, one, other = eager(), eager(), eager()
    trained(one, prompts, config)
    plainly(other, prompts, sampled_after)

    assert bits(other) == bits(one)
    assert bits(start) != bits(one)


def test_what_does_not_go_together_is_refused() -> None:
    """Two updates a step, and new weights every other step: up to two updates behind."""
    twice = TrainerConfig(steps=1, inner_updates=2)
    assert 2 == schedule_of(twice, rollout(2, sync_every=2)).max_staleness
    with pytest.raises(ConfigError, match=r"rollout\.max_staleness=2, or 4"):
        schedule_of(twice, rollout(1, sync_every=2))
