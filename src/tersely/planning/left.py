"""What earlier attempts at a job have left of it; looked at, not touched."""

from dataclasses import dataclass, field
from pathlib import Path

from tersely.earlier_attempt import look_into
from tersely.planning.jobs import Planned
from tersely.run import BEFORE
from tersely.training.checkpoints import STEP
from tersely.training.manifest import MANIFEST
from tersely.training.state import REST
from tersely.whole_file import read_kept


@dataclass(frozen=True)
class Done:
    """What is done of a job."""

    finished: bool = False
    scored_before: bool = False
    """Whether the test split has its scores before training."""
    trained: bool = False
    """Whether all stages are."""
    ended: frozenset[str] = frozenset()
    """Stages that have ended."""
    steps: dict[str, int] = field(default_factory=dict)
    """Steps of the stage that goes on, by its name."""

    @property
    def begun(self) -> bool:
        """Whether there is anything of an attempt that has not finished."""
        return not self.finished and self != Done()


def done_of(planned: Planned) -> Done:
    """What is done of the job, by its folder. Checkpoints count as sound: that is found out when
    they are used. Raises ConfigError where the folder belongs to another run."""
    folder, choices = planned.job.folder, planned.job.choices
    earlier = look_into(folder, planned.yaml, choices)
    if earlier.result is not None:
        return Done(finished=True)
    if not earlier.there:
        return Done()
    checkpoints = folder / "checkpoints"
    ended = (path.parent.name for path in checkpoints.glob(f"after_*/{MANIFEST}"))
    return Done(
        scored_before=(folder / BEFORE).is_file(),
        trained=(checkpoints / "final" / MANIFEST).is_file(),
        ended=frozenset(name.removeprefix("after_") for name in ended),
        steps=_steps(checkpoints),
    )


def _steps(checkpoints: Path) -> dict[str, int]:
    """Stage to the most steps of it that a checkpoint has."""
    steps: dict[str, int] = {}
    for file in checkpoints.glob(f"step_*/{REST}"):
        if STEP.fullmatch(file.parent.name):
            kept = read_kept(file)
            if not {"stage", "step"} <= kept.keys():
                continue  # broken, or removed meanwhile by a run that goes on
            steps[kept["stage"]] = max(kept["step"], steps.get(kept["stage"], 0))
    return steps
