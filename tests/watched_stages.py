"""Stages that are watched: really trained, or made up where nothing real goes wrong that way."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tersely.objective.advantages import zscore
from tersely.objective.aggregation import Aggregation
from tersely.objective.config import GrpoConfig
from tersely.objective.correction import uncorrected
from tersely.policy.load import Policy
from tersely.records import Batch, Example, Group, Prompt, Rollout, Scores
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Mixture, Term
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Snapshot
from tersely.training.checks.all import Checks
from tersely.training.checks.findings import Findings
from tersely.training.checks.seen import Seen, Setting
from tersely.training.config import Precision, TrainerConfig
from tersely.training.metrics import reward_metrics, rollout_metrics

ENDS = frozenset(range(340))
"""What `eager` policies end their turns with."""


def vowels(group: Group) -> list[float]:
    """A quality of sorts, for texts of random bytes."""
    return [sum(map(r.text.count, "aeiou")) / (1 + len(r.text)) for r in group.rollouts]


def a_setting(**changed: Any) -> Setting:
    """Of a stage in which nothing is unusual."""
    usual = Setting(
        stage="joint",
        target=8,
        max_tokens=16,
        max_staleness=1,
        updates_per_step=1,
        max_gradient_norm=1.0,
        learning_rate=5e-5,
        precision=Precision.fp32,
        train_end_of_turn=True,
        end_of_turn_ids=frozenset({0}),
        prompts=100,
        posts=100,
    )
    return replace(usual, **changed)


def a_rollout(tokens: Sequence[int], version: int, stopped: bool = True) -> Rollout:
    return Rollout(
        tuple(tokens), (-1.0,) * len(tokens), "stop" if stopped else "length", version, ""
    )


def a_step(step: int, **changed: Any) -> Seen:
    """A sound step of three groups of four, no two texts the same, one update old; `metrics` of
    `changed` are added to those that it has."""
    version = step - 1
    groups = tuple(
        Group(
            Prompt(Example(f"post {3 * step + at}", "words", ("a reference",)), (1, 2)),
            tuple(a_rollout((step, at, n, 5, 5, 5, 5, 0), max(0, version - 1)) for n in range(4)),
        )
        for at in range(3)
    )
    terms = {"length": (-0.1, -0.5, 0.0, -0.2), "rouge": (0.3, 0.2, 0.35, 0.1)}
    scores = [Scores(terms, (0.2, -0.3, 0.35, -0.1))] * 3
    metrics = {
        "loss/ratio_mean": 1.0001,
        "loss/mismatch_kl": 1e-4,
        "loss/reference_kl": 1e-4 * step**2,
        "update/gradient_norm": 0.4,
        "update/clipped_share": 0.0,
        "update/changed_share": 1.0,
        "update/learning_rate": 5e-5,
    }
    seen = Seen(
        step=step,
        version=version,
        batch=Batch(version, groups),
        scores=scores,
        advantages=[zscore(each.reward) for each in scores],
        metrics={},
    )
    seen = replace(seen, **{name: it for name, it in changed.items() if name != "metrics"})
    counted = reward_metrics(seen.scores) | rollout_metrics(seen.batch, version)
    return replace(seen, metrics=counted | metrics | changed.get("metrics", {}))


def found_by(checks: Checks, steps: Sequence[Seen]) -> dict[str, int]:
    """Name of each finding -> the step at which it was made."""
    found: dict[str, int] = {}
    for seen in steps:
        checks.after_step(seen)
        for finding in checks.findings:
            found.setdefault(finding.name, seen.step)
    return found


Damage = Callable[[Seen], Seen]


def trained_and_watched(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    steps: int,
    staleness: int = 1,
    terms: Sequence[Term] = (LengthConfig(target=8).build(), Term("vowels", 1.0, vowels)),
    max_tokens: int = 40,
    sampled_at: float = 1.0,
    temperature: float = 1.0,
    draw_from: Callable[[int, int], int] = lambda asked, now: asked,
    damage: Callable[[Group], Group] = lambda group: group,
    reference: Callable[[Policy], Any] = Policy.reference,
    aggregation: Aggregation = Aggregation.sequence_mean,
    interrupted: bool = False,
    **trainer: Any,
) -> Checks:
    """Train a policy with the real parts and every check beside. `draw_from` says which version
    draws where one is asked for at a version; the rollouts name the one that was asked for.
    Where it is `interrupted`, every step is seen by another process."""
    import mlx.core as mx
    from mlx import optimizers

    from tersely.training.precision import Weights, precision_of
    from tersely.training.update import Updater

    config = TrainerConfig(
        **{
            "steps": steps,
            "prompts_per_step": 3,
            "learning_rate": 3e-4,
            "max_gradient_norm": 20.0,  # of random weights it is 1 to 7
        }
        | trainer
    )
    rollout = LocalConfig(group_size=6, max_tokens=max_tokens, temperature=sampled_at)
    sampler = rollout.build(policy, 5)
    setting = a_setting(
        max_tokens=max_tokens,
        max_staleness=staleness,
        max_gradient_norm=config.max_gradient_norm,
        learning_rate=config.learning_rate,
        precision=precision_of(config),
        end_of_turn_ids=policy.tokenizer.end_of_turn_ids,
    )
    held = reference(policy)
    optimizer = optimizers.AdamW(config.learning_rate, weight_decay=0.0)
    weights = Weights(policy.model, optimizer, precision_of(config), 5)
    updater = Updater(
        policy.model,
        held,
        GrpoConfig(beta=1e-3).build(uncorrected),
        weights,
        aggregation=aggregation,
        trainer=config,
        max_tokens=max_tokens,
        temperature=temperature,
    )
    mixture, checks, versions = Mixture(tuple(terms)), Checks(setting, Findings()), []
    for step in range(steps):
        versions.append(policy.parameters())
        asked = max(0, step - staleness)
        drawn = Snapshot(versions[draw_from(asked, step)], asked)
        chosen = [prompts[(3 * step + n) % len(prompts)] for n in range(3)]
        groups = tuple(map(damage, sampler.sample(chosen, drawn, step)))
        batch = Batch(step, groups)
        scores = [mixture.score(group) for group in groups]
        advantages = [zscore(each.reward) for each in scores]
        metrics = reward_metrics(scores) | rollout_metrics(batch, step)
        metrics |= updater.step(batch, advantages).metrics
        rate: Any = weights.optimizer.learning_rate
        metrics["update/learning_rate"] = float(rate.item())
        checks.after_step(Seen(step + 1, step, batch, scores, advantages, metrics, held))
        if interrupted:
            state = json.loads(json.dumps(checks.state()))
            checks = Checks(setting, Findings())
            checks.restore(state)
    mx.eval(policy.parameters())
    return checks
