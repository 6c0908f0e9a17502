"""An evaluation, from its tree to its results: whose policy, its summaries, scores, verdicts."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from tersely.config import load_for, resolved_yaml
from tersely.earlier_attempt import EarlierAttempt, take_folder
from tersely.errors import JudgeError
from tersely.evaluation.judges.verdicts import Judge
from tersely.evaluation_config import (
    EVALUATE,
    Evaluation,
    chosen_anew,
    evaluation_name,
    policy_name,
    with_values_of,
)
from tersely.job import Outcome, say_that_it_is_done, shown
from tersely.launch import Job
from tersely.tracking.attempts import of_this_place
from tersely.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tersely.evaluation.scores import SummaryScores
    from tersely.policy.load import Policy
    from tersely.records import Prompt
    from tersely.tracking.earlier import EarlierRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What is asked for, complete."""

    config: Evaluation
    yaml: str
    choices: Mapping[str, str]
    """Config group to choice: the run's own, where it was not chosen anew."""
    run: "EarlierRun | None"
    """The run that the results join."""
    name: str
    """What the results are kept under, in `eval/`."""
    judge: Judge


def perform(tree: DictConfig, job: Job, outcome: Outcome) -> None:
    """Evaluate as `tree` says, and keep the results where they belong."""
    asked = ask(tree, job)
    earlier = take_folder(job.folder, asked.yaml, asked.choices)
    outcome.owns_folder = True
    if earlier.result is not None:
        say_that_it_is_done(earlier.result, job, outcome)
        log.info("%s", results_text(asked.name, outcome.metrics))
        return
    from tersely.policy.allocator import keep_freed_memory
    from tersely.policy.blas import load_fast_blas

    # Before anything imports MLX.
    load_fast_blas(callers=1)
    keep_freed_memory()
    tracking, run = asked.config.tracking, asked.run
    tracking.prepare()
    own = _own_run(asked, job, earlier.there)
    with own if run is None else tracking.join(run, job.folder) as tracker:
        outcome.run_id = tracker.run_id
        _keep_facts(asked, job, tracker, earlier)
        policy, prompts = _load(asked, tracker, earlier)
        measured, scores = _score(asked, policy, prompts, tracker)
        outcome.metrics = dict(measured)
        outcome.metrics |= _judge(asked, scores, tracker)
    log.info("%s", results_text(asked.name, outcome.metrics))
    log.info("summaries: tables/eval/%s of %s", asked.name, (run and run.folder) or job.folder)
    if tracker.url:
        log.info("in MLflow (%s): %s", tracking.ui_command(), tracker.url)


def ask(tree: DictConfig, job: Job) -> Asked:
    """Find the run that is evaluated, if it is one, and take over what is its own.

    Raises the errors of `errors.py`, before anything was written or loaded.
    """
    config = load_for(EVALUATE, tree)
    choices, run = dict(job.choices), None
    if config.run is not None:
        run = config.tracking.find(config.run)
        run.weights()  # may refuse
        tree = with_values_of(run.config, run.choices, tree, job.overrides)
        config = load_for(EVALUATE, tree)
        own = {"model", "data", "prompt"} - chosen_anew(job.overrides)
        choices |= {group: run.choices[group] for group in own}
    return Asked(
        config=config,
        yaml=resolved_yaml(tree),
        choices=choices,
        run=run,
        name=evaluation_name(config, choices, run.choices["data"] if run else choices["data"]),
        judge=config.judge.build(),
    )


def _own_run(asked: Asked, job: Job, goes_on: bool) -> Tracker:
    tags = {
        "kind": "evaluation",
        **of_this_place(job.folder),
        **({"sweep": job.sweep} if job.sweep else {}),
    }
    name = f"{policy_name(asked.config, asked.choices)} {asked.name}"
    return asked.config.tracking.build(job.folder, name, tags, goes_on)


def _keep_facts(asked: Asked, job: Job, tracker: Tracker, earlier: EarlierAttempt) -> None:
    """A run that is joined keeps its own facts; those of the evaluation stand beside them."""
    from tersely.tracking.facts import capture_facts, keep_facts, write_facts

    facts = capture_facts()
    earlier.warn_of_other_code(facts)
    if asked.run is None:
        keep_facts(tracker, facts, asked.yaml, job.folder)
        tracker.params(params(asked))
        tracker.tags({"overrides": " ".join(job.overrides)})
        return
    for file in write_facts(facts, asked.yaml, job.folder):
        tracker.artifact(file, f"eval/{asked.name}")


def params(asked: Asked) -> dict[str, str | int | float]:
    """The short values that tell evaluations apart; the whole configuration is an artifact."""
    config = asked.config
    return {
        "model": policy_name(config, asked.choices),
        **{group: asked.choices[group] for group in ("data", "prompt", "judge")},
        "split": config.split.name,
        "seed": config.seed,
        "target": config.measure.target,
        "max_tokens": config.decoding.max_tokens,
        "temperature": config.decoding.temperature,
        "samples": config.decoding.samples,
    }


def _load(
    asked: Asked, tracker: Tracker, earlier: EarlierAttempt
) -> "tuple[Policy, tuple[Prompt, ...]]":
    """The policy and its prompts, checked against each other."""
    from tersely.data.prompts import make_prompts
    from tersely.policy.load import load_policy
    from tersely.training.trainer import check_context

    config, run = asked.config, asked.run
    splits = config.data.build()
    policy = load_policy(run.weights()) if run else config.policy_config().build()
    split = config.split.name
    prompts = make_prompts(getattr(splits, split), policy.tokenizer, config.prompt, split)
    check_context(policy, prompts, config.decoding.max_tokens, "decoding.max_tokens")
    if run is None:
        earlier.check_data(splits.fingerprint())
        tracker.tags(
            {
                "data_fingerprint": splits.fingerprint(),
                "checkpoint": str(policy.folder.resolve()),
            }
        )
    elif run.data_fingerprint != splits.fingerprint():
        log.warning(
            "these are not the data of the run %s (fingerprint %s, the run's is %s); what it "
            "scored on its own data is not comparable",
            run.name,
            splits.fingerprint(),
            run.data_fingerprint,
        )
    return policy, prompts


def _score(
    asked: Asked, policy: "Policy", prompts: "tuple[Prompt, ...]", tracker: Tracker
) -> "tuple[dict[str, float], list[SummaryScores]]":
    """Summaries and what can be measured of them without a judge."""
    from tersely.evaluation.scores import means, score_summaries
    from tersely.evaluation.summaries import write_summaries
    from tersely.progress import Progress
    from tersely.rewards.overlap import overlap_metrics

    config, name = asked.config, asked.name
    metrics = overlap_metrics(config.measure.metrics())
    total = len(prompts) * config.decoding.samples
    with Progress(name, total, "summary") as progress:
        summaries = write_summaries(
            policy.model, policy.tokenizer, prompts, config.decoding, config.seed, progress.at
        )
    scores = score_summaries(summaries, metrics)
    tracker.table(f"eval/{name}/summaries", [each.row(name) for each in scores])
    measured = _named(name, means(scores, config.measure.target))
    tracker.metrics(measured, step=0)
    return measured, scores


def _judge(asked: Asked, scores: "list[SummaryScores]", tracker: Tracker) -> dict[str, float]:
    from tersely.evaluation.judging import judge_and_keep

    name = asked.name
    tables = {"summaries": f"eval/{name}/summaries", "verdicts": f"eval/{name}/verdicts"}
    try:
        found = judge_and_keep(asked.judge, scores, tracker, when=name, **tables)
    except JudgeError as error:
        raise JudgeError(
            f"{str(error).rstrip('.')}. Summaries and scores are kept, and so are the verdicts "
            "that are there: the same command goes on from them"
        ) from error
    judged = _named(name, found)
    tracker.metrics(judged, step=0)
    return judged


def _named(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"eval/{name}/{key}": value for key, value in metrics.items()}


def results_text(name: str, metrics: Mapping[str, float]) -> str:
    """What a person wants to see at the end, a line a metric."""
    found = shown(metrics, f"eval/{name}")
    return "\n".join([f"eval/{name}", *(f"{k:<24}{v:>10.3f}" for k, v in found.items())])
