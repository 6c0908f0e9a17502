"""A few real steps of a job and a few test summaries of it, timed, with nothing kept.

For a process of its own: what a process has used of memory before would count here.
"""

import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from tersely.config import Config
from tersely.errors import TerselyError
from tersely.evaluation.judges.config import NoJudge
from tersely.evaluation.judges.verdicts import Judged
from tersely.evaluation.scores import score_summaries
from tersely.evaluation.summaries import BATCH, greedy_summaries
from tersely.planning.measured import Facts, Measured, Step
from tersely.policy.load import checkpoint_fingerprint
from tersely.prepared import Prepared, prepare
from tersely.records import Prompt
from tersely.rewards.overlap import overlap_metrics
from tersely.rollout.prefetch import Sampled
from tersely.rollout.vllm.config import VllmConfig
from tersely.seeds import derive
from tersely.stage_training import train_as_configured
from tersely.training.checks.all import Checks
from tersely.training.checks.seen import Seen
from tersely.training.lifeline import Counts, Lifeline
from tersely.training.precision import Weights

log = logging.getLogger(__name__)

PATIENCE_S = 20.0
"""For workers that do not answer; a run has more, but here somebody waits."""

POSTS = 20
"""From which the length of a judge's prompts is told."""


def facts_of(prepared: Prepared, seconds: float) -> Facts:
    """What is known of a job that took `seconds` to prepare."""
    few = _spread_out(prepared.test_prompts, POSTS)
    return Facts(
        train=len(prepared.train_prompts),
        validation=len(prepared.validation_prompts),
        test=len(prepared.test_prompts),
        data=prepared.fingerprint,
        model=checkpoint_fingerprint(prepared.policy.folder),
        seconds=seconds,
        posts=tuple(_judged(each) for each in few),
    )


def prepared_for_measuring(config: Config) -> tuple[Prepared, float]:
    """What the job stands on, without its judge, and the seconds that it took with all of it on
    this machine. Raises the errors of `errors.py`."""
    if isinstance(config.rollout, VllmConfig):
        patience = min(PATIENCE_S, config.rollout.patience_s)
        config = replace(config, rollout=replace(config.rollout, patience_s=patience))
    overlap_metrics(config.reward)  # reads WordNet, once in a process: no job's own time
    _fetch(config)
    began = time.perf_counter()
    return prepare(replace(config, judge=NoJudge())), time.perf_counter() - began


def _fetch(config: Config) -> None:
    """Have data and model on this machine: one job fetches them, and all others find them there.
    What is wrong with them, and what there is to log, comes with preparing."""
    logging.disable()
    try:
        with suppress(TerselyError):
            config.data.build()
            config.model.folder()
    finally:
        logging.disable(logging.NOTSET)


def measure(prepared: Prepared, steps: int, folder: Path) -> Measured:
    """Take a step, then enough of them for `steps` means over the steps between two publications,
    and write a batch of test summaries. The policy is another one afterwards.

    `folder` is for what a sampler and a trainer leave behind.
    """
    config, policy = prepared.config, prepared.policy
    parameters = _count(policy.model.parameters())
    stage, mixture = prepared.stages[-1]
    seed = derive(config.seed, "stage", *stage.name.encode())
    policy.attach(config.tuning, derive(seed, "init"))
    few = _Few(steps + config.rollout.sync_every)
    counted = _Counted(config)
    with closing(config.rollout.build(policy, seed, folder)) as sampler:
        train_as_configured(
            prepared,
            mixture,
            sampler,
            seed,
            reporter=few,
            skipped=folder / "skipped",
            lifeline=few,
            checks=counted,
        )
    policy.merge()
    summaries, seconds = _summarise(prepared)
    return Measured(
        first=counted.steps[0],
        steps=tuple(counted.steps[1:]),
        summaries=summaries,
        summary_s=seconds / summaries,
        mlx_bytes=mx.get_peak_memory(),
        process_bytes=_most_of_process(),
        parameters=parameters,
        state_bytes=few.state_bytes,
    )


class _Few(Lifeline):
    """Keeps nothing and ends after some steps, long before the stage has to end: the last step of
    a stage has no sampling beside it."""

    state_bytes = 0

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def pick_up(
        self,
        weights: Weights,
        counts: Mapping[str, Counts],
        prompts_of: Callable[[int], Sequence[Prompt]],
    ) -> tuple[int, Sequence[Sampled]]:
        self._weights = weights
        return super().pick_up(weights, counts, prompts_of)

    def look(self, step: int) -> dict[str, float]:
        self.state_bytes = sum(int(array.nbytes) for array in self._weights.arrays().values())
        self.ended = step >= self._steps
        return {}

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """What would go to a tracker."""
        seconds = metrics["time/waiting"] + metrics["time/updating"]
        log.info("  step %d of %d took %.2f s", step, self._steps, seconds)


class _Counted(Checks):
    """Checks nothing and counts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._trainer = config.trainer
        self._since = time.perf_counter()
        self.steps: list[Step] = []

    def after_step(self, seen: Seen) -> dict[str, float]:
        """The step is over."""
        now = time.perf_counter()
        rollouts = seen.rollouts
        sampled = sum(len(rollout.token_ids) for rollout in rollouts)
        lengths = sum(rollout.length for rollout in rollouts)
        learned = sampled if self._trainer.train_end_of_turn else lengths
        self.steps.append(
            Step(
                seconds=now - self._since,
                sampled=sampled,
                learned=learned * self._trainer.inner_updates,
                length=lengths / len(rollouts),
            )
        )
        self._since = now
        return super().after_step(seen)


def _summarise(prepared: Prepared) -> tuple[int, float]:
    """How many summaries of the test split were written and scored, and the seconds."""
    policy, limit = prepared.policy, prepared.config.rollout.max_tokens
    prompts = _spread_out(prepared.test_prompts, BATCH)
    began = time.perf_counter()
    summaries = greedy_summaries(policy.model, policy.tokenizer, prompts, limit)
    score_summaries(summaries, prepared.metrics)
    seconds = time.perf_counter() - began
    log.info("  %d test summaries took %.2f s", len(summaries), seconds)
    return len(summaries), seconds


def _spread_out(prompts: tuple[Prompt, ...], most: int) -> list[Prompt]:
    """At most `most` of them, of all lengths."""
    by_length = sorted(prompts, key=lambda prompt: len(prompt.token_ids))
    count = min(most, len(by_length))
    return [by_length[place * len(by_length) // count] for place in range(count)]


def _judged(prompt: Prompt) -> Judged:
    example = prompt.example
    return Judged(example.id, example.post, example.references[0])


def _count(parameters: object) -> int:
    return sum(int(array.size) for _, array in tree_flatten(parameters))


def _most_of_process() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
