"""One run, from its configuration to its result: score, train stage by stage, score again."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tersely.called import called
from tersely.errors import JudgeError
from tersely.evaluation.judging import judge_and_keep
from tersely.evaluation.scores import SummaryScores, means, score_summaries
from tersely.evaluation.summaries import greedy_summaries
from tersely.policy.load import Policy, load_policy
from tersely.prepared import Prepared
from tersely.progress import Progress
from tersely.stage_training import StageTraining
from tersely.tracking.folder_run import read_metrics
from tersely.tracking.tracker import Tracker
from tersely.training.checkpoints import Checkpoints
from tersely.training.checks.examples import missing_scores
from tersely.training.checks.findings import Findings
from tersely.training.precision import precision_of
from tersely.whole_file import read_kept, write_json

log = logging.getLogger(__name__)

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
    findings = Findings(tracker, strict=config.checks.strict, known=_found_before(folder))
    before = _score_before(prepared, tracker, findings, folder / BEFORE)
    checkpoints = Checkpoints(folder / "checkpoints", config.trainer.keep_last)
    if final := checkpoints.final:
        log.info("all stages are trained already: %s", final)
        policy.model.update(load_policy(final).parameters())
    else:
        _train_stages(prepared, tracker, checkpoints, findings, folder)
    _keep_final(policy, checkpoints, tracker)
    after, scores = _score(prepared, "after", tracker, findings)
    findings.finish()
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
            f"`{called('evaluate')} run=...` judges it again, without the verdicts that are there"
        ) from error
    results = {f"test/after/{name}": value for name, value in found.items()}
    tracker.metrics(results, step=0)
    return results


def _score_before(
    prepared: Prepared, tracker: Tracker, findings: Findings, kept: Path
) -> dict[str, float]:
    """`test/before/...`, measured once in a run: `kept` is the file that has them."""
    if found := read_kept(kept):
        return dict(found["scores"])
    measured, _ = _score(prepared, "before", tracker, findings)
    write_json(kept, {"scores": measured, "checks": findings.names}, synced=True)
    return measured


def _found_before(folder: Path) -> list[str]:
    """Names of the checks that found something while an earlier process trained this run."""
    names = dict.fromkeys(name for line in read_metrics(folder) for name in line)
    checks = (name.removeprefix("checks/") for name in names if name.startswith("checks/"))
    before = read_kept(folder / BEFORE).get("checks", [])
    return [*before, *(name for name in checks if name != "found")]


def _train_stages(
    prepared: Prepared,
    tracker: Tracker,
    checkpoints: Checkpoints,
    findings: Findings,
    folder: Path,
) -> None:
    step = 0
    for stage, mixture in prepared.stages:
        log.info("stage %s: %s", stage.name, " + ".join(term.name for term in mixture.terms))
        training = StageTraining(
            prepared, stage, mixture, tracker, checkpoints, findings, step, folder
        )
        if kept := checkpoints.after(stage.name):
            log.info("stage %s is trained already: %s", stage.name, kept)
            prepared.policy.model.update(load_policy(kept).parameters())
            findings.take_over(kept)
        else:
            training.shared() if stage.shared else training.train()
            if stage is not prepared.stages[-1][0]:
                checkpoints.keep_after(prepared.policy, stage.name, findings.save)
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


def _score(
    prepared: Prepared, when: str, tracker: Tracker, findings: Findings
) -> tuple[dict[str, float], list[SummaryScores]]:
    """Greedy summaries of the test split, scored; every one of them goes into a table."""
    policy, config = prepared.policy, prepared.config
    prompts = prepared.test_prompts
    with Progress(f"test split {when} training", len(prompts), "summary") as progress:
        summaries = greedy_summaries(
            policy.model, policy.tokenizer, prompts, config.rollout.max_tokens, progress.at
        )
    scores = score_summaries(summaries, prepared.metrics)
    findings.add(missing_scores(scores), f"the test split {when} training")
    findings.enforce()
    tracker.table(f"summaries_{when}", [each.row(when) for each in scores])
    measured = means(scores, config.length.target)
    return {f"test/{when}/{name}": value for name, value in measured.items()}, scores
