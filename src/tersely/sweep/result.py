"""What a job leaves in its folder for the sweep's report."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import fmean

from tersely.tracking.ending import RunStatus
from tersely.tracking.folder_run import read_metrics
from tersely.whole_file import read_kept, write_whole

RESULT = "result.json"
REFUSED = "refused.json"
"""The result of a job whose folder belongs to another run, beside what that has left."""
LAST = 5
"""Training steps whose mean is the final reward; one step alone is mostly noise."""


@dataclass(frozen=True)
class JobResult:
    """One job of a sweep."""

    status: RunStatus
    overrides: tuple[str, ...] = ()
    """What was asked for on the command line, this job's part of it."""
    reward: str = ""
    strategy: str = ""
    model: str = ""
    seed: int = 0
    run_id: str | None = None
    """In the MLflow store; None without one."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """`test/<when>/<metric>`, and `reward/...`: means over the last steps of training."""
    error: str | None = None
    """One line; None for a job that finished."""
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        return self.status == "FINISHED"

    def write(self, folder: Path, name: str = RESULT) -> None:
        """Write `result.json`, whole or not at all."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        write_whole(folder / name, text, synced=True)


def read_result(folder: Path, name: str = RESULT) -> JobResult | None:
    """The result in a job's folder; None where there is none, or none that can be read, which
    the log says. It has the final rewards from the metrics beside it, unless those are of the
    other run that a job was refused for.

    What else the file says of the job (its data, its learning rate) is not read here.
    """
    values = read_kept(folder / name)
    if "status" not in values:
        return None
    known = {each.name: values[each.name] for each in fields(JobResult) if each.name in values}
    rewards = final_rewards(folder) if name == RESULT else {}
    metrics = {**rewards, **values.get("metrics", {})}
    return JobResult(
        **{**known, "overrides": tuple(values.get("overrides", ())), "metrics": metrics}
    )


def read_results(sweep_folder: Path) -> list[JobResult]:
    """The results of all jobs of a sweep, by folder name."""
    named = (file for name in (RESULT, REFUSED) for file in sweep_folder.glob(f"*/{name}"))
    folders = sorted({file.parent for file in named})
    found = (read_result(folder, REFUSED) or read_result(folder) for folder in folders)
    return [result for result in found if result is not None]


def final_rewards(folder: Path) -> dict[str, float]:
    """`reward/...` metric -> its mean over the last `LAST` training steps; empty without any.

    Steps of an earlier stage, which rewarded other terms, are left out.
    """
    steps = {line["step"]: line for line in read_metrics(folder) if "reward/mean" in line}
    rewards = [
        {key: value for key, value in steps[step].items() if key.startswith("reward/")}
        for step in sorted(steps)[-LAST:]
    ]
    last = [line for line in rewards if line.keys() == rewards[-1].keys()]
    return {key: fmean(line[key] for line in last) for key in sorted(last[-1])} if last else {}
