"""A run as a job: tracked from its first moment, its result on disk however it ends."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tersely.config import Config
from tersely.earlier_attempt import EarlierAttempt, has_results, take_folder
from tersely.errors import ConfigError, TerselyError, TrackingError
from tersely.evaluation.composite import METRICS
from tersely.file_lock import take, wait_for
from tersely.launch import Job
from tersely.rewards.overlap import OVERLAP
from tersely.sweep.job_processes import JOB_PROCESS
from tersely.sweep.result import REFUSED, JobResult
from tersely.sweep.table import number
from tersely.tracking.attempts import LOCK, of_this_place
from tersely.tracking.ending import RunStatus, one_line
from tersely.tracking.tracker import Tracker

log = logging.getLogger(__name__)

MISSING_VERDICTS = "judge/missing"
SHOWN = {
    **OVERLAP,
    "fact_coverage": "fact coverage",
    "fact_faithfulness": "fact faithfulness",
    **{f"judge/{name}": f"{name} (judged)" for name in METRICS},
    "judge/composite_sum": "composite, 0 to 4",
    "judge/pass_rate": "pass rate",
    MISSING_VERDICTS: "missing verdicts",
    "length_mean": "mean length",
    "length_mean_abs_error": "mean |length - target|",
    "within_5_share": "within 5 of target",
    "stopped_share": "stopped by itself",
}
"""What the log shows of the test split when a run is done."""


@dataclass
class Outcome:
    """What is known of a job while it goes on."""

    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    owns_folder: bool = False
    """Whether what is in the folder is this job's, of an earlier attempt perhaps."""
    done_before: bool = False
    """Whether an earlier attempt has FINISHED, so that there is nothing to do."""


@contextmanager
def recorded(job: Job) -> Iterator[Outcome]:
    """Leave a `JobResult` in the job's folder when the block ends, however it ends.

    No other process works in the folder meanwhile. In a sweep an error is logged and held back,
    so that the other jobs go on; the sweep's end turns it into the exit code. Interrupts always
    pass. Raises ConfigError where another process works in the folder of a single run.
    """
    with JOB_PROCESS.working(), alone_in(job):
        outcome, began = Outcome(), time.monotonic()
        (job.folder / REFUSED).unlink(missing_ok=True)
        status: RunStatus = "KILLED"
        reason = None
        try:
            yield outcome
            status = "FINISHED"
        except Exception as error:
            status, reason = "FAILED", one_line(error)
            if job.sweep is None:
                raise
            log.error("This job failed: %s", reason, exc_info=not isinstance(error, TerselyError))
        finally:
            seconds = time.monotonic() - began
            if not outcome.done_before:
                leave_result(job, outcome, status, reason, seconds)


def leave_result(
    job: Job, outcome: Outcome, status: RunStatus, reason: str | None, seconds: float
) -> None:
    """Write the job's result; that of another run whose folder it is, stays."""
    result = JobResult(
        overrides=job.overrides,
        status=status,
        reward=job.choices.get("reward", ""),
        strategy=job.choices.get("strategy", ""),
        model=job.choices["model"],
        seed=job.seed,
        run_id=outcome.run_id,
        metrics=outcome.metrics,
        error=reason,
        seconds=seconds,
    )
    if outcome.owns_folder or not has_results(job.folder):
        result.write(job.folder)
    elif job.sweep is not None:
        result.write(job.folder, REFUSED)


@contextmanager
def alone_in(job: Job) -> Iterator[None]:
    """Hold the lock of the job's folder. In a sweep whoever works there is waited for."""
    try:
        lock = (job.folder / LOCK).open("a", encoding="utf-8")
    except OSError as error:
        raise TrackingError(
            f"the run's folder {job.folder} cannot be written ({error.strerror}); what a run "
            "leaves goes there; set hydra.run.dir=FOLDER to another place"
        ) from error
    with lock:
        if job.sweep is not None:
            wait_for(lock, f"the process that works in {job.folder}")
        elif not take(lock):
            raise ConfigError(
                f"another process works in {job.folder}, and two would overwrite each other's "
                "results; wait until it has ended, or set hydra.run.dir=FOLDER to another place"
            )
        yield


def perform(config: Config, yaml: str, job: Job, outcome: Outcome) -> None:
    """Run `config` and track it, from where an earlier attempt left it. `yaml` is its resolved
    text, kept with the results."""
    earlier = take_folder(job.folder, yaml, job.choices)
    outcome.owns_folder = True
    if earlier.result is not None:
        say_that_it_is_done(earlier.result, job, outcome)
        log.info("%s", before_and_after(outcome.metrics))
        return
    from tersely.policy.allocator import keep_freed_memory
    from tersely.policy.blas import load_fast_blas

    # Before anything imports MLX.
    load_fast_blas(callers=config.rollout.computing_threads())
    keep_freed_memory()
    config.tracking.prepare()
    tags = {**of_this_place(job.folder), **({"sweep": job.sweep} if job.sweep else {})}
    with config.tracking.build(job.folder, run_name(job), tags, earlier.there) as tracker:
        outcome.run_id = tracker.run_id
        _train_and_judge(config, yaml, job, outcome, earlier, tracker)
    log.info("%s", before_and_after(outcome.metrics))
    log.info("everything of this run: %s", job.folder)
    if tracker.url:
        log.info("in MLflow (%s): %s", config.tracking.ui_command(), tracker.url)


def _train_and_judge(
    config: Config,
    yaml: str,
    job: Job,
    outcome: Outcome,
    earlier: EarlierAttempt,
    tracker: Tracker,
) -> None:
    from tersely.policy.load import checkpoint_fingerprint
    from tersely.prepared import prepare
    from tersely.run import judge_test_split, run
    from tersely.tracking.curves import draw_curves
    from tersely.tracking.facts import capture_facts, keep_facts

    facts = capture_facts()
    earlier.warn_of_other_code(facts)
    keep_facts(tracker, facts, yaml, job.folder)
    tracker.params(params(config, job))
    tracker.tags({"overrides": " ".join(job.overrides)})
    prepared = prepare(config)
    earlier.check_data(prepared.fingerprint)
    model = checkpoint_fingerprint(prepared.policy.folder)
    earlier.check_model(model)
    tracker.tags({"data_fingerprint": prepared.fingerprint, "model_fingerprint": model})
    trained = run(prepared, tracker, job.folder)
    outcome.metrics = dict(trained.metrics)
    outcome.metrics |= judge_test_split(prepared, trained, tracker)
    for picture in draw_curves(job.folder, config.length.target):
        tracker.artifact(picture, "curves")


def say_that_it_is_done(result: JobResult, job: Job, outcome: Outcome) -> None:
    """One line, where an earlier attempt has done all that is asked for."""
    outcome.done_before = True
    outcome.run_id, outcome.metrics = result.run_id, dict(result.metrics)
    log.info(
        "this has FINISHED before, in %s, and is not done again; delete that folder to have it "
        "done anew",
        job.folder,
    )


def run_name(job: Job) -> str:
    """What the run is called in lists."""
    return f"{job.choices['reward']} {job.choices['strategy']} seed {job.seed}"


def params(config: Config, job: Job) -> dict[str, str | int | float]:
    """The short values that tell runs apart; the whole configuration is an artifact."""
    left_out = {"tracking"}
    return {
        **{group: choice for group, choice in job.choices.items() if group not in left_out},
        "seed": config.seed,
        "target": config.length.target,
        "group_size": config.rollout.group_size,
        "prompts_per_step": config.trainer.prompts_per_step,
        "max_tokens": config.rollout.max_tokens,
        "temperature": config.rollout.temperature,
        "duration": config.trainer.duration(),
        "learning_rate": config.trainer.learning_rate,
        "beta": config.loss.beta,
    }


def before_and_after(metrics: Mapping[str, float]) -> str:
    """The test split before and after training, a line a metric; only the latter is judged."""
    before, after = shown(metrics, "test/before"), shown(metrics, "test/after")
    lines = [f"{'test split':<24}{'before':>10}{'after':>10}"]
    for label, value in after.items():
        lines.append(f"{label:<24}{number(before.get(label), '.3f'):>10}{value:>10.3f}")
    return "\n".join(lines)


def shown(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Label to value of those of `SHOWN` that are among `metrics` below `prefix`; missing
    verdicts only where there are any."""
    found = {name: metrics.get(f"{prefix}/{name}") for name in SHOWN}
    return {
        SHOWN[name]: value
        for name, value in found.items()
        if value is not None and (value > 0 or name != MISSING_VERDICTS)
    }
