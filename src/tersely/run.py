"""One run, from its configuration to its result: score, train stage by stage, score again."""

import json
import logging
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tersely.errors import JudgeError
from tersely.evaluation.judging import judge_and_keep
from tersely.evaluation.scores import SummaryScores, means, score_summaries
from tersely.evaluation.summaries import greedy_summaries
from tersely.policy.load import Policy, checkpoint_fingerprint, load_policy
from tersely.prepared import Prepared
from tersely.progress import Progress
from tersely.records import Group
from tersely.rewards.mixture import Mixture
from tersely.seeds import derive
from tersely.tracking.tracker import Tracker
from tersely.training.checkpoint import save_checkpoint
from tersely.training.checkpoints import Checkpoints
from tersely.training.lifeline import StageLifeline
from tersely.training.precision import precision_of
from tersely.training.progress import StageProgress
from tersely.training.stage_store import shared_stage, stage_key
from tersely.training.stages import Stage
from tersely.training.trainer import train
from tersely.training.validation import Validation

log = logging.getLogger(__name__)

NOT_DECIDING = {
    "log_entropy",
    "max_skipped_updates",
    *("save_every", "keep_last"),
    *("workers", "sync", "timeout_s", "patience_s", "requests_per_worker", "probe_tolerance"),
    *("publish_host", "publish_port", "publish_folder", "python", "port", "context"),
}
"""Values of a run that its weights do not depend on."""

BEFORE = "test_before.json"
"""In a run's folder: the scores of the test split before training."""

COPIED_CHECKPOINT = 100e6
"""Bytes up to which a tracker gets a copy of the checkpoint; a larger one is only named."""


@dataclass(frozen=True)
class Trained:
    """What a run came to, before anybody has judged it."""

    metrics: dict[str, float]
    """`test/before/...` and `test/after/...`, what a comparison of runs shows."""
    scores: tuple[SummaryScores, ...]
    """Of the test split, after training."""


def run(prepared: Prepared, tracker: Tracker, folder: Path) -> Trained:
    """Score, train, score again. Leaves the checkpoint in `folder/checkpoints/final`.

    What an earlier process has done of the same run in `folder` is not done again.
    """
    config, policy = prepared.config, prepared.policy
    tracker.tags({"precision": precision_of(config.trainer).name})
    before = _score_before(prepared, tracker, folder / BEFORE)
    checkpoints = Checkpoints(folder / "checkpoints", config.trainer.keep_last)
    if final := checkpoints.final:
        log.info("all stages are trained already: %s", final)
        policy.model.update(load_policy(final).parameters())
    else:
        _train_stages(prepared, tracker, checkpoints, folder)
    _keep_final(policy, checkpoints, tracker)
    after, scores = _score(prepared, "after", tracker)
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


def _score_before(prepared: Prepared, tracker: Tracker, kept: Path) -> dict[str, float]:
    """`test/before/...`, measured once in a run: `kept` is the file that has them."""
    if kept.exists():
        found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    measured, _ = _score(prepared, "before", tracker)
    half = kept.with_suffix(".half")
    half.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    half.replace(kept)
    return measured


def _train_stages(
    prepared: Prepared, tracker: Tracker, checkpoints: Checkpoints, folder: Path
) -> None:
    step = 0
    for stage, mixture in prepared.stages:
        log.info("stage %s: %s", stage.name, " + ".join(term.name for term in mixture.terms))
        training = _StageTraining(prepared, stage, mixture, tracker, checkpoints, step, folder)
        if stage.shared:
            _train_shared(training)
        else:
            training.train()
        step += training.steps


def _keep_final(policy: Policy, checkpoints: Checkpoints, tracker: Tracker) -> None:
    """Save the policy in the run's folder; the tracker gets a copy of it unless it is large."""
    final = checkpoints.finish(policy)
    tracker.tags({"checkpoint": str(final.resolve())})
    size = sum(file.stat().st_size for file in final.iterdir())
    if size <= COPIED_CHECKPOINT:
        tracker.artifact(final, "checkpoints")
    else:
        log.info("the checkpoint (%.1f GB) stays in %s; its tag says so", size / 1e9, final)


@dataclass(frozen=True)
class _StageTraining:
    """One stage of a run."""

    prepared: Prepared
    stage: Stage
    mixture: Mixture
    tracker: Tracker
    checkpoints: Checkpoints
    first_step: int
    folder: Path

    @property
    def steps(self) -> int:
        return self.prepared.config.trainer.steps_for(len(self.prepared.train_prompts))

    def train(self) -> None:
        """Train the policy, from where an earlier process left the stage."""
        config, policy = self.prepared.config, self.prepared.policy
        seed = derive(config.seed, "stage", *self.stage.name.encode())
        policy.attach(config.tuning, derive(seed, "init"))
        progress = StageProgress(self.stage.name, self.steps, self.tracker, self.first_step)
        validation = Validation(
            config.trainer, self._look, lambda: self.checkpoints.keep_best(policy)
        )
        with closing(config.rollout.build(policy, seed, self.folder)) as sampler, progress:
            train(
                policy,
                self.prepared.train_prompts,
                self.mixture,
                sampler,
                trainer=config.trainer,
                rollout=config.rollout,
                advantage=config.advantage,
                loss=config.loss,
                correction=config.correction,
                seed=seed,
                reporter=progress,
                skipped=self.folder / "skipped" / self.stage.name,
                lifeline=StageLifeline(
                    policy,
                    self.checkpoints,
                    config.trainer,
                    stage=self.stage.name,
                    first_step=self.first_step,
                    validation=validation,
                ),
            )
        policy.merge()
        if validation.goes_back and (best := self.checkpoints.best):
            log.info("stage %s ends with its best weights, %s", self.stage.name, best)
            policy.model.update(load_policy(best).parameters())

    def _look(self) -> dict[str, float]:
        """The policy as it is, on the validation split: scores as of the test split, and the
        stage's reward."""
        policy, config = self.prepared.policy, self.prepared.config
        prompts = self.prepared.validation_prompts
        with Progress("validation split", len(prompts), "summary") as progress:
            summaries = greedy_summaries(
                policy.model, policy.tokenizer, prompts, config.rollout.max_tokens, progress.at
            )
        rewards = [
            self.mixture.score(Group(prompt, (summary.as_rollout(),))).reward[0]
            for prompt, summary in zip(prompts, summaries, strict=True)
        ]
        scores = score_summaries(summaries, self.prepared.metrics)
        return {"reward": fmean(rewards), **means(scores, config.length.target)}


def _train_shared(training: _StageTraining) -> None:
    """Take the stage's checkpoint from the store, training it first if nobody has."""
    prepared, stage, tracker = training.prepared, training.stage, training.tracker
    policy, config = prepared.policy, prepared.config

    def train_into(stage_folder: Path) -> None:
        training.train()
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


def _score(
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
