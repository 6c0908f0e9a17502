"""What Hydra calls around a sweep and its jobs.

Named in the configuration as `hydra.callbacks.sweep._target_`. Beside `config.py`, `asked.py` and
the entry scripts the only module here that knows Hydra. An exception in a Hydra callback turns
into a warning and exit code 0; SystemExit does not, so every way out here is one.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from tersely.called import remember_the_door
from tersely.errors import TerselyError
from tersely.file_lock import if_free
from tersely.going_on import Sweep, sweep_begins
from tersely.sweep.asked import Overrides, jobs_asked, not_begun
from tersely.sweep.evaluations import evaluations_text
from tersely.sweep.job_processes import JOB_PROCESS, SWEEP_PROCESS
from tersely.sweep.names import SWEEP_VARIABLE
from tersely.sweep.report import Links, report_text
from tersely.sweep.result import JobResult, read_result, read_results
from tersely.sweep.stale import end_stale_jobs
from tersely.tracking.attempts import LOCK
from tersely.tracking.config import TrackingConfig
from tersely.tracking.ending import one_line
from tersely.whole_file import write_whole

log = logging.getLogger(__name__)

ReportText = Callable[[str, Sequence[JobResult], Links | None, Sequence[Overrides]], str]

JOBLIB, SUBMITIT = "hydra_joblib_launcher", "hydra_submitit_launcher"
"""Plugins of Hydra that start jobs in other processes."""

NO_RESULT = "ended without a result; its folder has the log"


class SweepCallback(Callback):
    """Makes the store before the first job, and the report after the last one.

    Exit code 1 when a job failed or never began, 2 when no job could start.
    """

    asked: Sequence[Overrides] = ()
    """The jobs of the sweep, where they are known beforehand."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = sweep_folder(config)
        os.environ[SWEEP_VARIABLE] = folder.name
        remember_the_door()
        try:
            tracking_of(config).prepare()
            end_stale_jobs(folder)
            tracking_of(config).end_stale(folder.name)
        except TerselyError as error:
            from tersely.launch import paragraph  # it imports the configuration, which names us

            print(paragraph(error), file=sys.stderr)
            raise SystemExit(2) from error
        self.asked = jobs_asked(config)
        report = partial(finish_early, config, self.asked, self.report_text)
        sweep_begins(Sweep(folder, report, handed_over=launched_by(config, SUBMITIT)))
        if launched_by(config, JOBLIB):
            if config.hydra.launcher.batch_size == "auto":
                # So it hands out several jobs at once after short ones, as those are that have
                # FINISHED before, and the long ones wait for each other.
                config.hydra.launcher.batch_size = "1"
            SWEEP_PROCESS.lead()

    def on_job_start(
        self, config: DictConfig, *, task_function: TaskFunction, **kwargs: Any
    ) -> None:
        """Until the run writes its own result, this one says that it has none. What an earlier
        attempt has left stays, and so does all that another process is working on."""
        if config.hydra.mode != RunMode.MULTIRUN or JOB_PROCESS.is_to_end:
            return
        if JOB_PROCESS.is_this_one:
            JOB_PROCESS.job_begins(config.hydra.job.num)
        folder = Path(config.hydra.runtime.output_dir)
        with if_free(folder / LOCK) as free:
            if free and read_result(folder) is None:
                unfinished(config).write(folder)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """A job that let its exception out has failed, whatever it wrote before."""
        if config.hydra.mode != RunMode.MULTIRUN or job_return.status != JobStatus.FAILED:
            return
        folder = Path(config.hydra.runtime.output_dir)
        reason = one_line(job_return._return_value)
        replace(read_result(folder) or unfinished(config), status="FAILED", error=reason).write(
            folder
        )

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        SWEEP_PROCESS.jobs_have_ended()
        if SWEEP_PROCESS.asked is not None:
            raise SystemExit(128 + SWEEP_PROCESS.asked)
        try:
            results, missing = finish(config, self.asked, self.report_text)
        except Exception as error:  # Hydra would make a warning and exit code 0 of it
            log.exception("the sweep's report could not be made")
            raise SystemExit(1) from error
        if missing or not all(result.finished for result in results):
            raise SystemExit(1)

    report_text = staticmethod(report_text)


class EvaluationSweepCallback(SweepCallback):
    """The same around a sweep of `evaluate.py`."""

    report_text = staticmethod(evaluations_text)


def finish(
    config: DictConfig, asked: Sequence[Overrides], report_text: ReportText
) -> tuple[list[JobResult], list[Overrides]]:
    """Write and print the report; the results it is made of, and the jobs that never began."""
    folder = sweep_folder(config)
    results = read_results(folder)
    missing = not_begun(asked, folder, results)
    text = report_text(folder.name, results, links(tracking_of(config), results), missing)
    write_whole(folder / "report.md", text)
    print(f"\n{text}\nThis report: {folder / 'report.md'}")
    return results, missing


def finish_early(config: DictConfig, asked: Sequence[Overrides], report_text: ReportText) -> None:
    """The same of a sweep that ended before its jobs; those that were killed with it are marked."""
    if SWEEP_PROCESS.leads:
        end_stale_jobs(sweep_folder(config))
        tracking_of(config).end_stale(sweep_folder(config).name)
    finish(config, asked, report_text)


def launched_by(config: DictConfig, plugin: str) -> bool:
    return str(config.hydra.launcher._target_).startswith(f"hydra_plugins.{plugin}.")


def links(tracking: TrackingConfig, results: Sequence[JobResult]) -> Links | None:
    """None without a store, or without a run in it, or where it does not answer any more."""
    run_ids = [result.run_id for result in results if result.run_id is not None]
    try:
        compare = tracking.compare_url(run_ids) if run_ids else None
    except TerselyError as error:
        log.warning("the report has no link to MLflow: %s", error)
        return None
    return None if compare is None else Links(tracking.ui_command(), compare)


def unfinished(config: DictConfig) -> JobResult:
    choices = config.hydra.runtime.choices
    return JobResult(
        overrides=tuple(config.hydra.overrides.task),
        status="FAILED",
        reward=str(choices.get("reward") or ""),
        strategy=str(choices.get("strategy") or ""),
        model=str(choices.get("model")),
        seed=int(config.seed),
        error=NO_RESULT,
    )


def sweep_folder(config: DictConfig) -> Path:
    return Path(config.hydra.sweep.dir)


def tracking_of(config: DictConfig) -> TrackingConfig:
    tracking = OmegaConf.to_object(config.tracking)
    assert isinstance(tracking, TrackingConfig), "the group `tracking` has a schema"
    return tracking
