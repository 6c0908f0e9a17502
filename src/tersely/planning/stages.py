"""The stages of all jobs: what is left of each, and which of them is trained once for several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tersely.planning.jobs import Planned
from tersely.planning.left import Done
from tersely.planning.measured import Facts
from tersely.stage_training import key_of
from tersely.training.manifest import MANIFEST
from tersely.training.stages import Stage


@dataclass(frozen=True)
class SharedStage:
    """A stage that runs take from `tracking.folder`, whoever has trained it."""

    name: str
    """S1, S2, ..."""
    stage: str
    seed: int
    key: str | None
    """None where data and model are not known; what is shared is then told by configuration."""
    folder: Path
    """Where it is kept."""
    jobs: tuple[int, ...]
    """That have or want it."""
    there: bool
    """Whether it is trained already."""
    trained_by: int | None
    """The job that will train it; None where none has to."""


@dataclass(frozen=True)
class StageLeft:
    """A stage of a job, and what is left of it."""

    name: str
    steps: int | None
    """All of them; None where they depend on data that are not known."""
    done: int
    """Those that need not be taken."""
    shared: SharedStage | None
    taken: bool
    """Whether the job takes it from where another run leaves it."""
    ended: bool
    """Whether this job has it already."""

    @property
    def left(self) -> int | None:
        """Steps that this job still has to take."""
        if self.taken or self.ended:
            return 0
        return None if self.steps is None else max(0, self.steps - self.done)


def stages_left(
    jobs: Sequence[Planned], facts: Mapping[int, Facts | None], done: Mapping[int, Done]
) -> tuple[dict[int, tuple[StageLeft, ...]], tuple[SharedStage, ...]]:
    """Job number to its stages, and the stages that are shared. `facts` and `done` are by job
    number."""
    wanted = _wanted(jobs, facts)
    shared = {
        place: _shared(f"S{number}", place, of, done)
        for number, (place, of) in enumerate(wanted.items(), start=1)
    }
    lists = {
        each.number: tuple(
            _left(each, stage, facts[each.number], done[each.number], shared)
            for stage in stages_of(each)
        )
        for each in jobs
    }
    return lists, tuple(shared.values())


def stages_of(planned: Planned) -> tuple[Stage, ...]:
    """Raises the errors of `errors.py` where strategy and reward do not fit, or the reward needs
    what is not on this machine."""
    config = planned.config
    return config.strategy.stages(has_quality=bool(config.reward.quality()))


class _Place(NamedTuple):
    """Of a shared stage."""

    store: Path
    key: str
    known: bool
    """Whether the key is the real one, which needs data and model."""


def _place(planned: Planned, stage: Stage, facts: Facts | None) -> _Place:
    config = planned.config
    data, model = (facts.data, facts.model) if facts else (repr(config.data), repr(config.model))
    store = Path(config.tracking.folder) / "stages"
    return _Place(store, key_of(stage, config, data, model), facts is not None)


def _wanted(
    jobs: Sequence[Planned], facts: Mapping[int, Facts | None]
) -> dict[_Place, list[tuple[Planned, Stage]]]:
    wanted: dict[_Place, list[tuple[Planned, Stage]]] = {}
    for each in jobs:
        for stage in stages_of(each):
            if stage.shared:
                place = _place(each, stage, facts[each.number])
                wanted.setdefault(place, []).append((each, stage))
    return wanted


def _shared(
    name: str, place: _Place, wanted: list[tuple[Planned, Stage]], done: Mapping[int, Done]
) -> SharedStage:
    there = place.known and (place.store / place.key / MANIFEST).is_file()
    stage = wanted[0][1].name
    waiting = [job.number for job, _ in wanted if not _has(done[job.number], stage)]
    return SharedStage(
        name=name,
        stage=stage,
        seed=wanted[0][0].config.seed,
        key=place.key if place.known else None,
        folder=place.store,
        jobs=tuple(job.number for job, _ in wanted),
        there=there,
        trained_by=None if there or not waiting else waiting[0],
    )


def _has(done: Done, stage: str) -> bool:
    return done.finished or done.trained or stage in done.ended


def _left(
    planned: Planned,
    stage: Stage,
    facts: Facts | None,
    done: Done,
    shared: Mapping[_Place, SharedStage],
) -> StageLeft:
    trainer = planned.config.trainer
    steps = trainer.steps if facts is None else trainer.steps_for(facts.train)
    own = shared[_place(planned, stage, facts)] if stage.shared else None
    ended = _has(done, stage.name)
    return StageLeft(
        name=stage.name,
        steps=steps,
        done=done.steps.get(stage.name, 0),
        shared=own,
        taken=not ended and own is not None and own.trained_by != planned.number,
        ended=ended,
    )
