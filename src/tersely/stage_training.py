"""One stage of a run: trained from where it stands, or taken from a run that has it."""

import logging
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tersely.config import Config
from tersely.deciding import NOT_DECIDING
from tersely.evaluation.scores import means, score_summaries
from tersely.evaluation.summaries import greedy_summaries
from tersely.policy.load import checkpoint_fingerprint, load_policy
from tersely.prepared import Prepared
from tersely.progress import Progress
from tersely.records import Group
from tersely.rewards.mixture import Mixture
from tersely.rollout.sampler import Sampler
from tersely.seeds import derive
from tersely.tracking.tracker import Tracker
from tersely.training.checkpoint import save_checkpoint
from tersely.training.checkpoints import Checkpoints
from tersely.training.checks.all import Checks
from tersely.training.checks.findings import Findings
from tersely.training.checks.seen import Setting
from tersely.training.lifeline import Lifeline, StageLifeline
from tersely.training.precision import precision_of
from tersely.training.progress import StageProgress
from tersely.training.stage_store import shared_stage, stage_key
from tersely.training.stages import Stage
from tersely.training.trainer import Reporter, train
from tersely.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageTraining:
    """One stage of a run."""

    prepared: Prepared
    stage: Stage
    mixture: Mixture
    tracker: Tracker
    checkpoints: Checkpoints
    findings: Findings
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
        validation = Validation(config.trainer, self._look, self._keep_best)
        with closing(config.rollout.build(policy, seed, self.folder)) as sampler, progress:
            train_as_configured(
                self.prepared,
                self.mixture,
                sampler,
                seed,
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
                checks=Checks(self._setting(), self.findings),
            )
        policy.merge()
        if validation.goes_back:
            self._go_back(validation.best_step)

    def _keep_best(self, step: int) -> None:
        self.checkpoints.keep_best(self.prepared.policy, self.stage.name, step)

    def _go_back(self, step: int) -> None:
        best = self.checkpoints.best_of(self.stage.name, step)
        if best is None:
            log.warning(
                "the weights after step %d of stage %s, which were best, are not kept any more: "
                "the stage ends with its last ones",
                *(step, self.stage.name),
            )
            return
        log.info("stage %s ends with its best weights, %s", self.stage.name, best)
        self.prepared.policy.model.update(load_policy(best).parameters())

    def _setting(self) -> Setting:
        config = self.prepared.config
        return Setting.of(
            self.prepared.policy,
            config.trainer,
            config.rollout,
            stage=self.stage.name,
            target=config.length.target,
            prompts=len(self.prepared.train_prompts),
            posts=self.prepared.posts,
        )

    def shared(self) -> None:
        """Take the stage's checkpoint from the store, training it first if nobody has."""
        policy, config = self.prepared.policy, self.prepared.config

        def train_into(folder: Path) -> None:
            self.train()
            save_checkpoint(policy, folder, self.findings.save)

        model = checkpoint_fingerprint(policy.folder)
        key = key_of(self.stage, config, self.prepared.fingerprint, model)
        store = Path(config.tracking.folder) / "stages"
        kept_in, trained_here = shared_stage(store, key, train_into)
        trained = str(trained_here).lower()
        self.tracker.tags({"shared_stage": key, "shared_stage_trained_here": trained})
        if not trained_here:
            log.info("stage %s is taken from %s, trained earlier", self.stage.name, kept_in)
            policy.model.update(load_policy(kept_in).parameters())
            self.findings.take_over(kept_in)

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


def key_of(stage: Stage, config: Config, data: str, model: str) -> str:
    """What a shared stage of a run is known by; `data` and `model` are fingerprints."""
    groups = (
        *("tuning", "prompt", "length", "advantage"),
        *("loss", "correction", "rollout", "trainer"),
    )
    return stage_key(
        {
            "stage": asdict(stage),
            "data": data,
            "model": model,
            "seed": config.seed,
            "precision": precision_of(config.trainer).name,
            "scored by": _deciding_scores(config),
            **{name: _deciding(getattr(config, name)) for name in groups},
        }
    )


def _deciding_scores(config: Config) -> list[object]:
    """How the scores are computed that decide when a stage ends, where scores do."""
    reward = config.reward
    return [reward.bleu_smooth, reward.meteor_matching.name] if config.trainer.patience else []


def _deciding(choice: Any) -> list[object]:
    """The type of a group's choice and the values that the weights of a stage depend on. The type
    counts because two losses may well have the same fields."""
    values = {name: value for name, value in asdict(choice).items() if name not in NOT_DECIDING}
    return [type(choice).__name__, values]


def train_as_configured(
    prepared: Prepared,
    mixture: Mixture,
    sampler: Sampler,
    seed: int,
    *,
    reporter: Reporter,
    skipped: Path,
    lifeline: Lifeline,
    checks: Checks,
) -> None:
    """`train` with the policy, the prompts and the parts of the configuration that it takes."""
    config = prepared.config
    train(
        prepared.policy,
        prepared.train_prompts,
        mixture,
        sampler,
        trainer=config.trainer,
        rollout=config.rollout,
        advantage=config.advantage,
        loss=config.loss,
        correction=config.correction,
        seed=seed,
        reporter=reporter,
        skipped=skipped,
        lifeline=lifeline,
        checks=checks,
    )
