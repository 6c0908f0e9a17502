"""What is logged of a step: pure functions from a batch and its scores to named numbers."""

from collections.abc import Sequence
from statistics import fmean, pstdev

from tersely.records import Batch, Scores

ZERO_SPREAD = 1e-6
"""A group whose rewards spread less than this teaches nothing."""


def reward_metrics(scores: Sequence[Scores]) -> dict[str, float]:
    """Mean of the reward and of each term, their spread within groups, and the share of
    groups whose rewards are all equal."""
    metrics = _spread("reward", [group.reward for group in scores], mean_suffix="/mean")
    metrics["reward/zero_std_share"] = fmean(pstdev(group.reward) < ZERO_SPREAD for group in scores)
    for term in scores[0].terms:
        metrics |= _spread(f"reward/{term}", [group.terms[term] for group in scores])
    return metrics


def _spread(
    name: str, groups: Sequence[Sequence[float]], mean_suffix: str = ""
) -> dict[str, float]:
    joint = "/" if mean_suffix else "_"
    return {
        f"{name}{mean_suffix}": fmean(value for group in groups for value in group),
        f"{name}{joint}std_within_group": fmean(pstdev(group) for group in groups),
    }


def rollout_metrics(batch: Batch, version: int) -> dict[str, float]:
    """Lengths in tokens without the end of turn, the share that stopped by itself, and how
    many updates older than the policy (`version`) the rollouts are."""
    rollouts = [rollout for group in batch.groups for rollout in group.rollouts]
    lengths = [rollout.length for rollout in rollouts]
    return {
        "length/mean": fmean(lengths),
        "length/min": float(min(lengths)),
        "length/max": float(max(lengths)),
        "rollout/stopped_share": fmean(rollout.finish_reason == "stop" for rollout in rollouts),
        "rollout/staleness": fmean(version - rollout.policy_version for rollout in rollouts),
    }


def sampled_tokens(batch: Batch) -> int:
    """Tokens that the sampler drew for this batch, ends of turn included."""
    return sum(len(rollout.token_ids) for group in batch.groups for rollout in group.rollouts)
