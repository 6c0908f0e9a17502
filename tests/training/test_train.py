"""The loop as a whole, on random weights: what it repeats, what it logs, what it learns."""

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tersely.errors import ConfigError, ModelError, RolloutError, TrainingDiverged
from tersely.objective.advantages import ZScoreConfig
from tersely.objective.aggregation import Aggregation
from tersely.objective.config import GrpoConfig
from tersely.objective.correction_config import CorrectionConfig, NoCorrection
from tersely.policy.load import Policy
from tersely.records import Group, Prompt
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Mixture, Term
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.training.config import Precision, Schedule, TrainerConfig
from tersely.training.order import PromptOrder
from tersely.training.trainer import check_context, optimizer_of, train

Load = Callable[..., Policy]

METRICS = {
    "reward/mean",
    "reward/std_within_group",
    "reward/zero_std_share",
    "reward/length",
    "reward/length_std_within_group",
    "reward/vowels",
    "reward/vowels_std_within_group",
    "length/mean",
    "length/min",
    "length/max",
    "rollout/stopped_share",
    "rollout/staleness",
    "loss/total",
    "loss/surrogate",
    "loss/kl_reference",
    "loss/ratio_mean",
    "loss/mismatch_kl",
    "loss/reference_kl",
    "loss/capped_share",
    "loss/clip_share",
    "update/gradient_norm",
    "update/clipped_share",
    "update/changed_share",
    "update/learning_rate",
    "update/skipped",
    "time/sampling",
    "time/waiting",
    "time/updating",
    "speed/tokens_per_second",
    "memory/peak_gb",
    "checks/found",
}
"""What is logged of every step; docs/metrics.md has a row for each."""
WORKERS = {
    *(f"rollout/{name}" for name in ("live_workers", "retried", "discarded", "worker_faults")),
    "time/publishing",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
TIMED = {name for name in METRICS if name.startswith(("time/", "speed/", "memory/"))}


def vowels(group: Group) -> list[float]:
    """A quality of sorts, for texts of random bytes."""
    return [sum(map(r.text.count, "aeiou")) / (1 + len(r.text)) for r in group.rollouts]


class Kept:
    """A reporter that keeps everything."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.metrics: list[Mapping[str, float]] = []

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append(step)
        self.metrics.append(metrics)


class Slowed(Sampler):
    """A sampler, or a reporter, that now and then takes its time."""

    def __init__(self, inner: Any, seed: int) -> None:
        self._inner, self._random = inner, random.Random(seed)

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        time.sleep(self._random.choice([0, 0.1]))
        return self._inner.sample(prompts, snapshot, step)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        time.sleep(self._random.choice([0, 0.1]))
        self._inner.step(step, metrics)


def trained(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    max_staleness: int = 1,
    steps: int = 4,
    seed: int = 5,
    target: int = 8,
    group_size: int = 4,
    temperature: float = 1.0,
    slow: bool = False,
    sampler: Sampler | None = None,
    loss: GrpoConfig | None = None,
    correction: CorrectionConfig | None = None,
    quality: Callable[[Group], list[float]] = vowels,
    skipped: Path = Path("never"),
    **trainer: Any,
) -> Kept:
    """`skipped` is made only when an update is left out."""
    kept = Kept()
    rollout = LocalConfig(
        group_size=group_size, max_tokens=12, max_staleness=max_staleness, temperature=temperature
    )
    sampler = sampler or rollout.build(policy, seed)
    train(
        policy,
        prompts,
        Mixture((LengthConfig(target=target).build(), Term("vowels", 1.0, quality))),
        Slowed(sampler, seed=1) if slow else sampler,
        trainer=TrainerConfig(
            **{"steps": steps, "prompts_per_step": 2, "learning_rate": 3e-3} | trainer
        ),
        rollout=rollout,
        advantage=ZScoreConfig(),
        loss=loss or GrpoConfig(),
        correction=correction or NoCorrection(),
        seed=seed,
        reporter=Slowed(kept, seed=2) if slow else kept,
        skipped=skipped,
    )
    return kept


def weights(policy: Policy) -> dict[str, bytes]:
    return {name: np.array(array).tobytes() for name, array in tree_flatten(policy.parameters())}


def same(one: Policy, other: Policy) -> bool:
    """To the bit; also of bfloat16, which NumPy does not know."""
    pairs = zip(tree_flatten(one.parameters()), tree_flatten(other.parameters()), strict=True)
    return all(mx.array_equal(a, b).item() for (_, a), (_, b) in pairs)


def repeatable(kept: Kept) -> list[dict[str, float]]:
    return [{name: step[name] for name in METRICS - TIMED} for step in kept.metrics]


@pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
def test_a_run_can_be_repeated_bit_for_bit_however_fast_either_side_is(
    architecture: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """With sampling beside the update, and naps in sampler and loop that change who is first."""
    start, first, second = (eager(architecture) for _ in range(3))

    one = trained(first, prompts)
    other = trained(second, prompts, slow=True)

    assert repeatable(one) == repeatable(other)
    assert weights(first) == weights(second)
    assert weights(start) != weights(first)


@pytest.mark.parametrize(
    "trainer",
    [
        {"inner_updates": 2, "mini_batches": 2, "rollouts_per_chunk": 1, "checkpoint_layers": True},
        {"precision": Precision.bf16_stochastic, "schedule": Schedule.cosine},
    ],
    ids=["several updates in chunks", "rounded by chance"],
)
def test_it_can_be_repeated_however_the_update_is_made(
    trainer: dict[str, Any], eager: Load, prompts: Sequence[Prompt]
) -> None:
    start, first, second = eager(), eager(), eager()

    one = trained(first, prompts, steps=2, **trainer)
    other = trained(second, prompts, steps=2, slow=True, **trainer)

    assert repeatable(one) == repeatable(other)
    assert same(first, second)
    assert not same(start, first)


def test_another_seed_is_another_run(eager: Load, prompts: Sequence[Prompt]) -> None:
    one, other = eager(), eager()
    trained(one, prompts, steps=1, seed=1)
    trained(other, prompts, steps=1, seed=2)
    assert weights(one) != weights(other)


def test_sampling_ahead_changes_a_run_as_the_schedule_says_and_no_further(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Step 1 comes from the first weights either way; from step 2 on the rollouts are one
    update old, and their ratio says so."""
    in_turn = trained(eager(), prompts, max_staleness=0)
    beside = trained(eager(), prompts, max_staleness=1)

    assert repeatable(in_turn)[0] == repeatable(beside)[0]
    assert repeatable(in_turn)[1] != repeatable(beside)[1]
    assert [0, 0, 0, 0] == [step["rollout/staleness"] for step in in_turn.metrics]
    assert [0, 1, 1, 1] == [step["rollout/staleness"] for step in beside.metrics]
    assert all(step["loss/mismatch_kl"] < 1e-6 for step in in_turn.metrics)
    assert all(step["loss/mismatch_kl"] > 1e-5 for step in beside.metrics[1:])
    assert [0, 1, 2, 2] == [
        step["rollout/staleness"] for step in trained(eager(), prompts, max_staleness=2).metrics
    ]


def test_every_step_is_reported_in_full(eager: Load, prompts: Sequence[Prompt]) -> None:
    """Every key at every step, counted from 1, each a finite number."""
    kept = trained(eager(), prompts)

    assert [1, 2, 3, 4] == kept.steps
    for metrics in kept.metrics:
        assert metrics.keys() == METRICS
        assert all(np.isfinite(value) for value in metrics.values())
    first = kept.metrics[0]
    assert 3e-3 == pytest.approx(first["update/learning_rate"])
    assert 0 == first["update/skipped"]
    assert 0.9 < first["update/changed_share"] <= 1
    assert first["reward/mean"] == pytest.approx(first["reward/length"] + first["reward/vowels"])
    assert 0 < first["time/sampling"]
    assert first["speed/tokens_per_second"] > 0
    assert 0.0 == pytest.approx(first["loss/kl_reference"], abs=1e-6)
    assert kept.metrics[-1]["loss/kl_reference"] > 1e-6


def test_every_metric_is_documented(eager: Load, prompts: Sequence[Prompt]) -> None:
    """And what is documented of a step is logged; a term of the reward stands for all. What
    workers add is `VllmSampler.metrics`; checks have a section of their own."""
    text = DOCUMENT.read_text().partition("## Before and after training")[0]
    documented = set(re.findall(r"`([a-z]+/[a-z_<>]+)`", text))
    logged = trained(eager(), prompts, steps=1, log_entropy=True).metrics[0].keys()

    assert (
        documented | {"checks/found"}
        == {re.sub("reward/(length|vowels)", "reward/<term>", name) for name in logged} | WORKERS
    )


@pytest.mark.parametrize(
    ("trainer", "rates"),
    [
        # Half of the peak, the peak, and from there by thirds to the 0 after the last update.
        ({"steps": 4}, [1.5e-3, 3e-3, 2e-3, 1e-3]),
        # The same four updates, two a step: the rate of a step is that of its last.
        ({"steps": 2, "inner_updates": 2}, [3e-3, 1e-3]),
        ({"steps": 2, "mini_batches": 2}, [3e-3, 1e-3]),
    ],
)
def test_the_schedule_is_over_the_updates_of_the_stage(
    trainer: dict[str, int], rates: list[float], eager: Load, prompts: Sequence[Prompt]
) -> None:
    kept = trained(eager(), prompts, schedule=Schedule.linear, warmup_updates=2, **trainer)
    assert rates == pytest.approx([step["update/learning_rate"] for step in kept.metrics])


@pytest.mark.parametrize(("corrected", "moved"), [(True, 0.2), (False, 0.1 + 0.1346870)])
def test_the_means_of_adam_are_scaled_up_while_they_are_young(
    corrected: bool, moved: float
) -> None:
    """Two updates by gradients of 1 at a rate of 0.1. The means are 0.1 and 0.01 after the first,
    0.19 and 0.0199 after the second: 0.1 / 0.1 = 1 and 0.19 / sqrt(0.0199) = 1.346870. Scaled up,
    both means are 1."""
    trainer = TrainerConfig(steps=2, learning_rate=0.1, bias_correction=corrected)
    optimizer = optimizer_of(trainer, 2)
    weights = {"w": mx.array([0.0])}
    for _ in range(2):
        weights = optimizer.apply_gradients({"w": mx.array([1.0])}, weights)
    assert -moved == pytest.approx(weights["w"].item(), abs=1e-6)


def test_the_entropy_is_logged_where_it_is_asked_for(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Random weights are near the uniform distribution over 2,048 tokens: log 2048 = 7.6."""
    kept = trained(eager(), prompts, steps=2, log_entropy=True)
    assert all(METRICS | {"policy/entropy"} == step.keys() for step in kept.metrics)
    assert all(5 < step["policy/entropy"] < 7.63 for step in kept.metrics)


class Broken(Sampler):
    """A sampler that at some steps claims to have drawn what is next to impossible: the ratio of
    policy and sampler is then infinite."""

    def __init__(self, policy: Policy, steps: set[int]) -> None:
        self._inner = LocalConfig(group_size=4, max_tokens=12).build(policy, 5)
        self._steps = steps

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        groups = self._inner.sample(prompts, snapshot, step)
        if step not in self._steps:
            return groups
        return tuple(
            replace(
                group,
                rollouts=tuple(
                    replace(each, sampler_logprobs=(-1e4,) * len(each.token_ids))
                    for each in group.rollouts
                ),
            )
            for group in groups
        )


def test_updates_that_are_not_finite_are_left_out_and_counted(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """Steps 2 and 3 of 5. Their batches are kept, the count goes on, the other steps are in full,
    and all that is reported is a number."""
    kept = trained(
        eager(), prompts, steps=5, sampler=Broken(eager(), {1, 2}), skipped=tmp_path / "skipped"
    )

    assert [1, 2, 3, 4, 5] == kept.steps
    assert [0, 1, 2, 2, 2] == [step["update/skipped"] for step in kept.metrics]
    assert ["step_000002.json", "step_000003.json"] == sorted(
        path.name for path in (tmp_path / "skipped").iterdir()
    )
    batch = json.loads((tmp_path / "skipped" / "step_000002.json").read_text())
    assert [-1e4] == batch["groups"][1]["rollouts"][3]["sampler_logprobs"][:1]
    for step in (0, 3, 4):
        assert METRICS == kept.metrics[step].keys()
    for metrics in kept.metrics:
        assert all(np.isfinite(value) for value in metrics.values())


def test_a_run_that_has_diverged_ends_with_the_weights_of_its_last_update(
    eager: Load, prompts: Sequence[Prompt], tmp_path: Path
) -> None:
    """Two in a row are borne, the third is not."""
    policy, other = eager(), eager()
    trained(other, prompts, max_staleness=0, steps=1)

    with pytest.raises(TrainingDiverged, match="3 updates in a row, up to step 4"):
        trained(
            policy,
            prompts,
            max_staleness=0,
            steps=9,
            sampler=Broken(policy, set(range(1, 9))),
            skipped=tmp_path,
            max_skipped_updates=2,
        )

    assert same(other, policy)
    assert 3 == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("aggregation", Aggregation)
def test_the_aggregation_reaches_the_loss(
    aggregation: Aggregation, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """The first is what is taken where nothing is said."""
    usual, other = eager(), eager()
    trained(usual, prompts, steps=1, loss=GrpoConfig())
    trained(other, prompts, steps=1, loss=GrpoConfig(aggregation=aggregation))
    assert same(usual, other) == (aggregation is Aggregation.sequence_mean)


def test_the_constant_of_the_loss_is_the_longest_completion(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Where every completion is as long as `rollout.max_tokens` allows, dividing by that is taking
    the mean of its tokens."""

    def gradient_norm(aggregation: Aggregation) -> float:
        policy = eager()
        policy.tokenizer.end_of_turn_ids = frozenset()
        kept = trained(
            policy,
            prompts,
            steps=1,
            loss=GrpoConfig(aggregation=aggregation, beta=0.0),
            quality=lambda group: [float(sum(r.token_ids)) for r in group.rollouts],
            target=1,
        )
        return kept.metrics[0]["update/gradient_norm"]

    mean, constant = map(gradient_norm, (Aggregation.sequence_mean, Aggregation.constant))
    assert mean == pytest.approx(constant, rel=1e-5)
    assert mean > 1e-3


def test_it_learns_the_length_that_is_rewarded(eager: Load, prompts: Sequence[Prompt]) -> None:
    """Random weights write 5 tokens; one run is rewarded for 2 of them, the other for 12."""

    def length_after(target: int) -> float:
        kept = trained(eager(), prompts, steps=20, target=target, group_size=8, learning_rate=1e-2)
        return float(np.mean([step["length/mean"] for step in kept.metrics[-5:]]))

    assert length_after(target=2) + 2 < length_after(target=12)


def test_each_step_samples_its_own_prompts_at_the_temperature_it_is_scored_at(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """In the order of the run's seed, so that another seed trains on other posts first."""
    policy, seen = eager(), []
    inner = LocalConfig(group_size=4, max_tokens=12, temperature=0.6).build(policy, 5)

    class Seen(Sampler):
        def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> Any:
            seen.append(list(prompts))
            return inner.sample(prompts, snapshot, step)

    kept = trained(policy, prompts, max_staleness=0, seed=9, sampler=Seen(), temperature=0.6)

    assert [PromptOrder(prompts, 2, seed=9)(step) for step in range(4)] == seen
    assert all(step["loss/mismatch_kl"] < 1e-6 for step in kept.metrics)


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 1e-3},
        {"weight_decay": 0.1},
        {"beta1": 0.5},
        {"beta2": 0.5},
        {"max_gradient_norm": 1e-3},
        {"schedule": Schedule.cosine},
        {"warmup_updates": 3},
        {"inner_updates": 2},
        {"mini_batches": 2},
        {"precision": Precision.bf16_master},
    ],
    ids=str,
)
def test_every_setting_reaches_the_optimizer(
    changed: dict[str, Any], eager: Load, prompts: Sequence[Prompt]
) -> None:
    """From the second step on at the latest; Adam's first hardly depends on its decays."""
    usual, other = eager(), eager()
    trained(usual, prompts, steps=3)
    trained(other, prompts, steps=3, **changed)
    assert not same(usual, other)


def test_epochs_count_the_steps(eager: Load, prompts: Sequence[Prompt]) -> None:
    """One pass over 7 prompts, 2 a step: 3.5 steps, which is 4."""
    assert [1, 2, 3, 4] == trained(eager(), prompts, steps=None, epochs=1.0).steps


def test_a_failing_sampler_ends_the_run_with_its_own_error(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """And the updates before it stand."""
    policy = eager()
    before = weights(policy)
    inner = LocalConfig(group_size=4, max_tokens=12).build(policy, 5)

    class Failing(Sampler):
        def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> Any:
            if step == 2:
                raise RolloutError("the worker died")
            return inner.sample(prompts, snapshot, step)

    with pytest.raises(RolloutError, match="the worker died"):
        trained(policy, prompts, sampler=Failing())
    assert before != weights(policy)


def test_prompts_that_cannot_fit_are_refused_before_the_first_step(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """The longest has 35 tokens, the model 1,024 positions: 989 are left for a completion."""
    policy = eager()
    check_context(policy, prompts, 989)
    with pytest.raises(ConfigError, match=r"35 tokens .* rollout\.max_tokens=990 need 1025 .*"
                                          r"has 1024; set rollout\.max_tokens=989"):  # fmt: skip
        check_context(policy, prompts, 990)
    policy.config = {}  # a checkpoint that does not say
    check_context(policy, prompts, 10**6)


def test_a_tokenizer_of_another_model_is_refused(eager: Load, prompts: Sequence[Prompt]) -> None:
    """MLX does not check ids; one that is far off ends the process without a word."""
    policy = eager()
    policy.config = policy.config | {"vocab_size": 335}
    check_context(policy, prompts, 10)  # the largest id of any prompt is 334
    policy.config = policy.config | {"vocab_size": 334}
    with pytest.raises(ModelError, match="gives id 334, but the model knows 334 ids from 0 on"):
        check_context(policy, prompts, 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "exactly one of trainer.steps and trainer.epochs must be set, got steps=None"),
        ({"steps": 4, "epochs": 1.0}, "got steps=4 and epochs=1.0; "),
        ({"steps": 0}, "trainer.steps must be at least 1, got 0"),
        ({"epochs": 0.0}, "trainer.epochs must be above 0, got 0.0"),
        ({"epochs": float("inf")}, "trainer.epochs must be above 0, got inf"),
        ({"steps": 1, "prompts_per_step": 0}, "trainer.prompts_per_step must be at least 1"),
        ({"steps": 1, "learning_rate": 0.0}, "trainer.learning_rate must be above 0, got 0.0"),
        ({"steps": 1, "learning_rate": float("nan")}, "trainer.learning_rate must be above 0"),
        ({"steps": 1, "max_gradient_norm": -1.0}, "trainer.max_gradient_norm must be above 0"),
        ({"steps": 1, "weight_decay": -0.1}, "trainer.weight_decay must be 0 or more, got -0.1"),
        ({"steps": 1, "beta1": 1.0}, r"trainer.beta1 must lie in \[0, 1\), got 1.0"),
        ({"steps": 1, "beta2": -0.1}, r"trainer.beta2 must lie in \[0, 1\), got -0.1"),
        ({"steps": 1, "inner_updates": 0}, "trainer.inner_updates must be at least 1, got 0"),
        ({"steps": 1, "mini_batches": 0}, "trainer.mini_batches must be at least 1, got 0"),
        (
            {"steps": 1, "prompts_per_step": 4, "mini_batches": 3},
            "trainer.prompts_per_step=4 prompts cannot be split into trainer.mini_batches=3 equal "
            "parts; set a divisor",
        ),
        ({"steps": 1, "rollouts_per_chunk": 0}, "trainer.rollouts_per_chunk must be at least 1"),
        ({"steps": 1, "vocabulary_per_chunk": 0}, "trainer.vocabulary_per_chunk must be at least"),
        ({"steps": 1, "warmup_updates": -1}, "trainer.warmup_updates must be at least 0, got -1"),
        ({"steps": 1, "max_skipped_updates": -1}, "trainer.max_skipped_updates must be at least 0"),
        ({"steps": 1, "memory_limit_gb": 0.0}, "trainer.memory_limit_gb must be above 0, got 0.0"),
        ({"steps": 1, "memory_limit_gb": float("nan")}, "trainer.memory_limit_gb must be above 0"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainerConfig(**changes)


@pytest.mark.parametrize(
    ("epochs", "examples", "prompts_per_step", "steps"),
    [(1.0, 2000, 2, 1000), (0.5, 2000, 4, 250), (1.0, 3, 2, 2), (0.01, 3, 2, 1)],
)
def test_steps_of_a_stage(epochs: float, examples: int, prompts_per_step: int, steps: int) -> None:
    """epochs * examples / prompts_per_step, rounded, and never none."""
    config = TrainerConfig(epochs=epochs, prompts_per_step=prompts_per_step)
    assert steps == config.steps_for(examples)
    assert 60 == TrainerConfig(steps=60).steps_for(examples)


@pytest.mark.parametrize(
    ("inner_updates", "mini_batches", "updates"), [(1, 1, 1), (3, 1, 3), (1, 2, 2), (2, 4, 8)]
)
def test_updates_of_a_step(inner_updates: int, mini_batches: int, updates: int) -> None:
    config = TrainerConfig(
        steps=1, prompts_per_step=4, inner_updates=inner_updates, mini_batches=mini_batches
    )
    assert updates == config.updates_per_step
