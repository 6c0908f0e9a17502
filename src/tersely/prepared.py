"""What a run stands on, complete and checked before its first step."""

from collections.abc import Mapping
from dataclasses import dataclass

from tersely.config import Config
from tersely.data.prompts import make_prompts
from tersely.errors import ConfigError
from tersely.evaluation.judges.verdicts import Judge
from tersely.evaluation.scores import score_names
from tersely.policy.load import Policy
from tersely.records import Prompt
from tersely.rewards.mixture import Mixture
from tersely.rewards.overlap import overlap_metrics
from tersely.rewards.quality import Metric
from tersely.training.schedule import rates_of
from tersely.training.stages import Stage
from tersely.training.trainer import check_context, schedule_of
from tersely.training.validation import check_best_by

FEW = 20
"""Examples that tell what is measured of all."""


@dataclass(frozen=True)
class Prepared:
    """What a run stands on, complete and checked before its first step."""

    config: Config
    policy: Policy
    stages: tuple[tuple[Stage, Mixture], ...]
    metrics: Mapping[str, Metric]
    """The overlap metrics that summaries are scored by."""
    posts: int
    """Of the training split, before those whose prompt is too long were left out."""
    train_prompts: tuple[Prompt, ...]
    validation_prompts: tuple[Prompt, ...]
    """Empty where nobody looks at them."""
    test_prompts: tuple[Prompt, ...]
    fingerprint: str
    """Of the data."""
    judge: Judge


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
    config.loss.check(config.correction, config.trainer.updates_per_step)
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
    looked_at = ("train", "test", *(["validation"] if config.trainer.evaluate_every else []))
    prompts = {
        name: make_prompts(getattr(splits, name), policy.tokenizer, config.prompt, name)
        for name in looked_at
    }
    if config.trainer.evaluate_every is not None:
        few = splits.validation[:FEW]
        check_best_by(config.trainer, {"reward", *score_names(metrics, few, config.length.target)})
    rates_of(config.trainer, config.trainer.steps_for(len(prompts["train"])))  # may refuse
    schedule_of(config.trainer, config.rollout)  # may refuse
    for split in prompts.values():
        check_context(policy, split, config.rollout.max_tokens)
    config.rollout.check_prompts(max(len(prompt.token_ids) for prompt in prompts["train"]))
    return Prepared(
        config=config,
        policy=policy,
        stages=stages,
        metrics=metrics,
        posts=len(splits.train),
        train_prompts=prompts["train"],
        validation_prompts=prompts.get("validation", ()),
        test_prompts=prompts["test"],
        fingerprint=splits.fingerprint(),
        judge=judge,
    )
