"""The steps of a stage: shown to a person, and passed on to the tracker."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tersely.progress import Progress
from tersely.tracking.tracker import Tracker


class StageProgress:
    """Takes the metrics of each step of one stage."""

    def __init__(self, name: str, steps: int, tracker: Tracker, first_step: int) -> None:
        """`first_step` is how many steps earlier stages of the run have taken, so that the
        tracker sees one unbroken axis."""
        self._shown = Progress(name, steps, "step")
        self._tracker, self._first_step = tracker, first_step
        self.done = 0
        """Steps of this stage so far."""

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report step `step` of this stage, counted from 1; the first report may be of a later
        one, where an earlier process has taken those before."""
        if not self.done:
            self._shown.begins_at(step - 1)
        self.done = step
        self._tracker.metrics(metrics, self._first_step + step)
        self._shown.at(
            step,
            reward=f"{metrics['reward/mean']:.3f}",
            length=f"{metrics['length/mean']:.0f}",
            **{"tokens/s": f"{metrics['speed/tokens_per_second']:.0f}"},
        )
