"""What `report.py` is asked for."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from tersely.errors import ConfigError
from tersely.tracking.config import MlflowTracking, TrackingConfig


@dataclass
class ReportConfig:
    """A report on a set of runs, or on the study's published numbers."""

    sweep: str | None = None
    """A sweep: its folder's name under `folder`, a path, or the tag `sweep` in MLflow."""
    runs: list[str] = field(default_factory=list)
    """Runs: their folders, or their ids in MLflow."""
    experiment_name: str | None = None
    """All runs of an MLflow experiment. One types experiment=NAME; see `report_app.py`."""
    published: bool = False
    """The study's own numbers, read again."""
    baseline: str | None = None
    """What the others are compared with: a run's folder or id, or a configuration by the name
    that the report has for it; none: length-only where it is among the runs, else what the policy
    wrote before training."""
    evaluation: str | None = None
    """The evaluation whose summaries are compared, by its name (test/plain); none: what the runs
    wrote and scored when training ended."""
    folder: str = "multirun"
    """Where sweeps are."""
    output: str | None = None
    """The report's folder; none: `report/` in the sweep's folder, else one in
    `folder`/reports."""
    tracking: TrackingConfig = MISSING

    def __post_init__(self) -> None:
        asked = {
            "sweep": self.sweep is not None,
            "runs": bool(self.runs),
            "experiment": self.experiment_name is not None,
            "published": self.published,
        }
        given = [name for name, there in asked.items() if there]
        if len(given) != 1:
            said = "nothing says which" if not given else f"{' and '.join(given)} are given"
            raise ConfigError(
                f"a report is on one set of runs, and {said}; set one of sweep=NAME, "
                "runs=[FOLDER_OR_ID,...], experiment=NAME, or the word published"
            )
        if self.experiment_name is not None and not isinstance(self.tracking, MlflowTracking | str):
            raise ConfigError(
                f"experiment={self.experiment_name} is looked up in MLflow, and tracking=none has "
                "no store; set tracking=mlflow, or name the runs' folders in runs=[...]"
            )
