"""One run, from its configuration to its result: score, train stage by stage, score again."""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tersely.config import Config
from tersely.data.prompts import make_prompts
from tersely.errors import ConfigError, JudgeError, RolloutError
from tersely.evaluation.judges.verdicts import Judge
from tersely.evaluation.judging import judge_and_keep
from tersely.evaluation.scores import SummaryScores, means, score_summaries
from tersely.evaluation.summaries import greedy_summaries
from tersely.policy.load import Policy, checkpoint_fingerprint, load_policy
from tersely.progress import Progress
from tersely.records import Prompt
from tersely.rewards.mixture import Mixture
from tersely.rewards.overlap import overlap_metrics
from tersely.rewards.quality import Metric
from tersely.seeds import derive
from tersely.tracking.tracker import Tracker
from tersely.training.checkpoint import save_checkpoint
from tersely.training.precision import precision_of
from tersely.training.progress import StageProgress
from tersely.training.schedule import rates_of
from tersely.training.stage_store import shared_stage, stage_key
from tersely.training.stages import Stage
from tersely.training.trainer import check_context, schedule_of, train

log = logging.getLogger(__name__)

NOT_DECIDING = {
    "log_entropy",
    "max_skipped_updates",
    *("workers", "sync", "timeout_s", "patience_s", "requests_per_worker", "probe_tolerance"),
    *("publish_host", "publish_port", "publish_folder", "python", "port", "context"),
}
"""Values of a run that its weights do not depend on."""

COPIED_CHECKPOINT = 100e6
"""Bytes up to which a tracker gets a copy of the checkpoint; a larger one is only named."""


@dataclass(frozen=True)
class Prepared:
    """What a run stands on, complete and checked before its first step."""

    config: Config
    policy: Policy
    stages: tuple[tuple[Stage, Mixture], ...]
    metrics: Mapping[str, Metric]
    """The overlap metrics that summaries are scored by."""
    train_prompts: tuple[Prompt, ...]
    test_prompts: tuple[Prompt, ...]
    fingerprint: str
    """Of the data."""
    judge: Judge


@dataclass(frozen=True)
class Trained:
    """What a run came to, before anybody has judged it."""

    metrics: dict[str, float]
    """`test/before/...` and `test/after/...`, what a comparison of runs shows."""
    scores: tuple[SummaryScores, ...]
    """Of the test split, after training."""


def prepare(config: Config) -> Prepared:
    """Load data and policy and check that they fit together.

    Raises the errors of `errors.py`: what is wrong with a run should be known before it costs.
    """
    if config.length.target >= config.rollout.max_tokens:
        raise ConfigError(
            f"length.target={config.length.target} cannot be reached: completions are cut at "
            f"rollout.max_tokens={config.rollout.max_tokens}, the end of turn included; set "
            f"rollout.max_tokens above the target, well above it to see what is too long"
        )
    quality = config.reward.quality()
    stages = tuple(
        (
            stage,
            Mixture(
                (
                    *((config.length.build(),) if stage.length else ()),
                    *(quality if stage.quality else ()),
                )
            ),
        )
        for stage in config.strategy.stages(has_quality=bool(quality))
    )
    metrics = overlap_metrics(config.reward)
    judge = config.judge.build()
    splits = config.data.build()
    policy = config.model.build()
    config.tuning.check(policy.model)
    config.rollout.check(config.tuning)
    prompts = {
        name: make_prompts(getattr(splits, name), policy.tokenizer, config.prompt, name)
        for name in ("train", "test")
    }
    rates_of(config.trainer, config.trainer.steps_for(len(prompts["train"])))  # may refuse
    schedule_of(config.trainer, config.rollout)  # may refuse
    for split in prompts.values():
        check_context(policy, split, config.rollout.max_tokens)
    return Prepared(
        config=config,
        policy=policy,
        stages=stages,
        metrics=metrics,
        train_prompts=prompts["train"],
        test_prompts=prompts["test"],
        fingerprint=splits.fingerprint(),
        judge=judge,
    )


def run(prepared: Prepared, tracker: Tracker, folder: Path) -> Trained:
    """Score, train, score again. Leaves the checkpoint in `folder/checkpoints/final`."""
    config, policy = prepared.config, prepared.policy
    tracker.tags({"precision": precision_of(config.trainer).name})
    before, _ = _score_test_split(prepared, "before", tracker)
    step = 0
    for stage, mixture in prepared.stages:
        log.info("stage %s: %s", stage.name, " + ".join(term.name for term in mixture.terms))
        if stage.shared:
            _train_shared(prepared, stage, mixture, tracker, step, folder)
        else:
            _train(prepared, stage, mixture, tracker, step, folder)
        step += config.trainer.steps_for(len(prepared.train_prompts))
    _keep_checkpoint(policy, folder / "checkpoints" / "final", tracker)
    after, scores = _score_test_split(prepared, "after", tracker)
    results = before | after
    # Last, because MLflow opens its pages on the metric that came first: a reward, not this.
    tracker.metrics(results, step=0)
    return Trained(results, tuple(scores))


def judge_test_split(prepared: Prepared, trained: Trained, tracker: Tracker) -> dict[str, float]:
    """`test/after/judge/...` of the summaries after training; empty where nobody judges.

    Raises `JudgeError`; the run itself is complete by then, and so is what it has kept.
    """
    try:
        found = judge_and_keep(
            prepared.judge,
            trained.scores,
            tracker,
            when="after",
            summaries="summaries_after",
            verdicts="verdicts_test",
        )
    except JudgeError as error:
        raise JudgeError(
            f"{str(error).rstrip('.')}. Training is complete and its checkpoint is kept: "
            "`python evaluate.py run=...` judges it again, without the verdicts that are there"
        ) from error
    results = {f"test/after/{name}": value for name, value in found.items()}
    tracker.metrics(results, step=0)
    return results


def _keep_checkpoint(policy: Policy, checkpoint: Path, tracker: Tracker) -> None:
    """Save the policy in the run's folder; the tracker gets a copy of it unless it is large."""
    save_checkpoint(policy, checkpoint)
    tracker.tags({"checkpoint": str(checkpoint.resolve())})
    size = sum(file.stat().st_size for file in checkpoint.iterdir())
    if size <= COPIED_CHECKPOINT:
        tracker.artifact(checkpoint, "checkpoints")
    else:
        log.info("the checkpoint (%.1f GB) stays in %s; its tag says so", size / 1e9, checkpoint)


def _train(
    prepared: Prepared,
    stage: Stage,
    mixture: Mixture,
    tracker: Tracker,
    first_step: int,
    folder: Path,
) -> None:
    config, policy = prepared.config, prepared.policy
    steps = config.trainer.steps_for(len(prepared.train_prompts))
    seed = derive(config.seed, "stage", *stage.name.encode())
    policy.attach(config.tuning, derive(seed, "init"))
    progress = StageProgress(stage.name, steps, tracker, first_step)
    try:
        with closing(config.rollout.build(policy, seed, folder)) as sampler, progress:
            train(
                policy,
                prepared.train_prompts,
                mixture,
                sampler,
                trainer=config.trainer,
                rollout=config.rollout,
                advantage=config.advantage,
                loss=config.loss,
                correction=config.correction,
                seed=seed,
                reporter=progress,
                skipped=folder / "skipped" / stage.name,
            )
    except RolloutError as error:
        if first_step + progress.done == 0:
            raise
        raise _with_what_is_kept(error, policy, folder) from error
    policy.merge()


def _with_what_is_kept(error: RolloutError, policy: Policy, folder: Path) -> RolloutError:
    """Keep the weights as they are: the workers are at fault, not what was learned so far."""
    kept = folder / "checkpoints" / "stopped"
    save_checkpoint(policy, kept)
    return type(error)(
        f"{str(error).rstrip('.')}. The policy as it was then is in {kept.resolve()}"
    )


def _train_shared(
    prepared: Prepared,
    stage: Stage,
    mixture: Mixture,
    tracker: Tracker,
    first_step: int,
    folder: Path,
) -> None:
    """Take the stage's checkpoint from the store, training it first if nobody has."""
    policy, config = prepared.policy, prepared.config

    def train_into(stage_folder: Path) -> None:
        _train(prepared, stage, mixture, tracker, first_step, folder)
        save_checkpoint(policy, stage_folder)

    key = stage_key(
        {
            "stage": asdict(stage),
            "data": prepared.fingerprint,
            "model": checkpoint_fingerprint(policy.folder),
            "seed": config.seed,
            "precision": precision_of(config.trainer).name,
            **{
                # The type counts too: two losses may well have the same fields.
                name: [type(getattr(config, name)).__name__, _deciding(getattr(config, name))]
                for name in (
                    "tuning",
                    "prompt",
                    "length",
                    "advantage",
                    "loss",
                    "correction",
                    "rollout",
                    "trainer",
                )
            },
        }
    )
    store = Path(config.tracking.folder) / "stages"
    kept_in, trained_here = shared_stage(store, key, train_into)
    tracker.tags({"shared_stage": key, "shared_stage_trained_here": str(trained_here).lower()})
    if not trained_here:
        log.info("stage %s: taken from %s, where an earlier run left it", stage.name, kept_in)
        policy.model.update(load_policy(kept_in).parameters())


def _deciding(choice: Any) -> dict[str, Any]:
    """The values of a group that the weights of a stage depend on."""
    return {name: value for name, value in asdict(choice).items() if name not in NOT_DECIDING}


def _score_test_split(
    prepared: Prepared, when: str, tracker: Tracker
) -> tuple[dict[str, float], list[SummaryScores]]:
    """Greedy summaries of the test split, scored; every one of them goes into a table."""
    policy, config = prepared.policy, prepared.config
    prompts = prepared.test_prompts
    with Progress(f"test split {when} training", len(prompts), "summary") as progress:
        summaries = greedy_summaries(
            policy.model, policy.tokenizer, prompts, config.rollout.max_tokens, progress.at
        )
    scores = score_summaries(summaries, prepared.metrics)
    tracker.table(f"summaries_{when}", [each.row(when) for each in scores])
    measured = means(scores, config.length.target)
    return {f"test/{when}/{name}": value for name, value in measured.items()}, scores
