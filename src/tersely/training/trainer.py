"""The training loop."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn
from mlx import optimizers

from tersely.errors import (
    ConfigError,
    ModelError,
    RolloutError,
    TerselyError,
    TrainingDiverged,
)
from tersely.objective.advantages import AdvantageConfig
from tersely.objective.config import LossConfig
from tersely.objective.correction_config import CorrectionConfig
from tersely.policy.load import Policy
from tersely.progress import watched
from tersely.records import Prompt
from tersely.rewards.mixture import Mixture
from tersely.rollout.prefetch import Prefetcher, Sampled
from tersely.rollout.sampler import RolloutConfig, Sampler, Snapshot
from tersely.rollout.staleness import Schedule
from tersely.training.checks.all import Checks
from tersely.training.checks.seen import Seen
from tersely.training.config import TrainerConfig
from tersely.training.lifeline import Counts, Lifeline
from tersely.training.metrics import reward_metrics, rollout_metrics, sampled_tokens
from tersely.training.order import PromptOrder
from tersely.training.precision import Weights, precision_of
from tersely.training.schedule import rates_of
from tersely.training.skipped import Skipped
from tersely.training.stopping import between_steps
from tersely.training.update import Updater

log = logging.getLogger(__name__)

STOPPING_GRACE_S = 30.0
"""Seconds for which a run that is to stop waits for the rollouts that it has in flight; without
them it samples them anew when it goes on, from newer weights."""


class Reporter(Protocol):
    """Where the metrics of a step go."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Called once a step, in order, from step 1, or from the one at which a run goes on."""
        ...


def train(
    policy: Policy,
    prompts: Sequence[Prompt],
    mixture: Mixture,
    sampler: Sampler,
    *,
    trainer: TrainerConfig,
    rollout: RolloutConfig,
    advantage: AdvantageConfig,
    loss: LossConfig,
    correction: CorrectionConfig,
    seed: int,
    reporter: Reporter,
    skipped: Path,
    lifeline: Lifeline | None = None,
    checks: Checks | None = None,
) -> None:
    """Train `policy` in place for one stage; its weights at the start are the reference.

    The same arguments on the same machine give the same weights, bit for bit, also where a
    process ended and another one goes on from a checkpoint of the `lifeline`. `skipped` is the
    folder for batches whose update had to be left out, `checks` look for what is wrong with it.

    Raises `RunStopped` after the step in which somebody asks for it.
    """
    check_context(policy, prompts, rollout.max_tokens)
    steps = trainer.steps_for(len(prompts))
    weights = Weights(policy.model, optimizer_of(trainer, steps), precision_of(trainer), seed)
    reference = policy.reference() if loss.beta > 0 else None
    updater = Updater(
        policy.model,
        reference,
        loss.build(correction.build()),
        weights,
        aggregation=loss.aggregation,
        trainer=trainer,
        max_tokens=rollout.max_tokens,
        temperature=rollout.temperature,
        decoupled=correction.decoupled,
    )
    mx.reset_peak_memory()
    order = PromptOrder(prompts, trainer.prompts_per_step, seed)
    schedule = schedule_of(trainer, rollout)
    if rollout.max_staleness and schedule.in_turn:
        log.info(
            "sampling and updating take turns: a step has %d updates, more than "
            "rollout.max_staleness=%d allows to be behind",
            trainer.updates_per_step,
            rollout.max_staleness,
        )
    stage = _Stage(
        mixture=mixture,
        advantages_of=advantage.build(),
        updater=updater,
        weights=weights,
        reference=reference,
        left_out=Skipped(skipped, trainer.max_skipped_updates),
        checks=checks or Checks(),
        lifeline=lifeline or Lifeline(),
        reporter=reporter,
    )
    lifeline = stage.lifeline
    first, in_flight = lifeline.pick_up(weights, stage.counts, order)
    done, updates = first, weights.updates
    with between_steps() as stop:
        try:
            with Prefetcher(
                sampler, order, schedule=schedule, steps=steps, first=first, in_flight=in_flight
            ) as rollouts:
                while done < steps and not lifeline.ended and not stop.requested:
                    version = schedule.version_at(done)
                    rollouts.publish(Snapshot(policy.parameters(), version))
                    if done > first and lifeline.due(done):
                        in_flight = rollouts.in_flight(version, unless=lambda: stop.requested)
                        if not stop.requested:
                            lifeline.keep(done, weights, in_flight)
                    if not rollouts.come(unless=lambda: stop.requested):
                        break
                    sampled = rollouts.next_batch()
                    stage.step(sampled, version, done + 1)
                    done, updates = done + 1, weights.updates
                if stop.requested:
                    # Closed below, a sampler may give up what it is about.
                    rollouts.in_flight(schedule.version_at(done), STOPPING_GRACE_S)
            if stop.requested:
                in_flight = rollouts.in_flight(schedule.version_at(done), wait_s=0)
                stop.raise_stopped(lifeline.keep(done, weights, in_flight))
        except TerselyError as error:
            kept = None
            sound = isinstance(error, RolloutError | TrainingDiverged) and done > first
            # Not where a step has made some of its updates: it would make them once more.
            if sound and updates == weights.updates:
                # What was learned before is sound; so are rollouts that are there.
                begun = [sampled] if isinstance(error, TrainingDiverged) else []
                ahead = rollouts.in_flight(schedule.version_at(done), wait_s=0)
                kept = lifeline.keep(done, weights, [*begun, *ahead])
            if stop.requested:
                log.error("%s", error)
                stop.raise_stopped(kept)
            if kept is None:
                raise
            raise type(error)(f"{str(error).rstrip('.')}. {kept}") from error
        finally:
            weights.finish()


@dataclass(frozen=True)
class _Stage:
    """What the steps of a stage go through, from a batch to what is reported."""

    mixture: Mixture
    advantages_of: Callable[[Sequence[float]], Sequence[float]]
    updater: Updater
    weights: Weights
    reference: nn.Module | None
    left_out: Skipped
    checks: Checks
    lifeline: Lifeline
    reporter: Reporter

    @property
    def counts(self) -> dict[str, Counts]:
        """What counts over steps, by the name under which it is kept."""
        return {"skipped": self.left_out, "checks": self.checks}

    def step(self, sampled: Sampled, version: int, number: int) -> None:
        """Score the batch, update on it, and report it as step `number`. `version` is how many
        updates the policy has seen before."""
        batch = sampled.batch
        began = time.perf_counter()
        with watched(f"step {number} is scoring its rollouts and computing its update"):
            scores = [self.mixture.score(group) for group in batch.groups]
            advantages = [self.advantages_of(group.reward) for group in scores]
            updated = self.updater.step(batch, advantages)
        updating = time.perf_counter() - began
        self.left_out.count(updated.left_out)
        metrics = {
            **reward_metrics(scores),
            **rollout_metrics(batch, version),
            **sampled.metrics,
            **updated.metrics,
            "update/learning_rate": self.weights.optimizer.learning_rate.item(),
            "update/skipped": float(self.left_out.total),
            "time/sampling": sampled.sampling_seconds,
            "time/waiting": sampled.waiting_seconds,
            "time/updating": updating,
            "speed/tokens_per_second": sampled_tokens(batch) / (sampled.waiting_seconds + updating),
            "memory/peak_gb": mx.get_peak_memory() / 1e9,
        }
        try:
            self.left_out.keep(batch, advantages)
        except TrainingDiverged:
            self.reporter.step(number, metrics)  # what went wrong; no more counts of this step
            raise
        metrics |= self.lifeline.look(number)
        seen = Seen(number, version, batch, scores, advantages, metrics, self.reference)
        self.reporter.step(number, metrics | self.checks.after_step(seen))
        self.checks.enforce()


def optimizer_of(trainer: TrainerConfig, steps: int) -> optimizers.Optimizer:
    """AdamW for a stage of `steps` steps: Loshchilov and Hutter, 2019, "Decoupled weight decay
    regularization", algorithm 2."""
    return optimizers.AdamW(
        learning_rate=rates_of(trainer, steps),
        betas=[trainer.beta1, trainer.beta2],
        weight_decay=trainer.weight_decay,
        bias_correction=trainer.bias_correction,
    )


def schedule_of(trainer: TrainerConfig, rollout: RolloutConfig) -> Schedule:
    """Which weights sample which step. Raises `ConfigError` for what does not go together."""
    return Schedule(rollout.max_staleness, rollout.sync_every, trainer.updates_per_step)


def check_context(
    policy: Policy, prompts: Sequence[Prompt], max_tokens: int, key: str = "rollout.max_tokens"
) -> None:
    """Raise `ConfigError` where prompt and completion cannot both fit the model's context, and
    `ModelError` where a prompt has ids that the model does not know. `key` sets `max_tokens`."""
    largest = max(max(prompt.token_ids) for prompt in prompts)
    known = policy.config.get("vocab_size")
    if isinstance(known, int) and largest >= known:
        raise ModelError(
            f"the tokenizer in {policy.folder} gives id {largest}, but the model knows {known} ids "
            "from 0 on; take the tokenizer that the checkpoint was trained with"
        )
    context = policy.context_length()
    longest = max(len(prompt.token_ids) for prompt in prompts)
    if context is not None and longest + max_tokens > context:
        raise ConfigError(
            f"a prompt of {longest} tokens and {key}={max_tokens} need "
            f"{longest + max_tokens} positions, but this model has {context}; set "
            f"{key}={max(2, context - longest)} or lower prompt.max_tokens"
        )
