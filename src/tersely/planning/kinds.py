"""Kinds of jobs: those of one kind take a step in the same time and memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from tersely.config import Config
from tersely.planning.jobs import Planned

PARTS = (
    *("model", "tuning", "data", "prompt", "rollout"),
    *("trainer", "loss", "correction", "length"),
)
"""Groups of the configuration that time and memory depend on. Not in it are reward, strategy,
advantage, judge and seed: what these change of a step is small beside the model."""


@dataclass(frozen=True)
class Kind:
    """Jobs of which one is measured for all."""

    name: str
    """A, B, ..."""
    jobs: tuple[Planned, ...]

    @property
    def config(self) -> Config:
        """Of the job that is measured."""
        return self.jobs[0].config

    def has(self, job: Planned) -> bool:
        """Whether `job` is of this kind, among its jobs or not."""
        return _parts(job) == _parts(self.jobs[0])


def kinds_of(jobs: Sequence[Planned]) -> tuple[Kind, ...]:
    """The kinds that there are among `jobs`, in the order of their first jobs."""
    alike: dict[str, list[Planned]] = {}
    for each in jobs:
        alike.setdefault(_parts(each), []).append(each)
    return tuple(Kind(_name(place), tuple(of)) for place, of in enumerate(alike.values()))


def _parts(job: Planned) -> str:
    return repr([getattr(job.config, part) for part in PARTS])


def _name(place: int) -> str:
    """A to Z, then AA, AB and so on."""
    before, letter = divmod(place, len(ascii_uppercase))
    return (_name(before - 1) if before else "") + ascii_uppercase[letter]


def described(kind: Kind, jobs: Sequence[Planned]) -> str:
    """What tells a kind from the others among `jobs`: choices, and overrides that all of its jobs
    have and others have not; empty where there is no other."""
    choices = [
        f"{part}={kind.jobs[0].job.choices[part]}"
        for part in PARTS
        if len({each.job.choices[part] for each in jobs}) > 1
    ]
    own = set.intersection(*(set(each.overrides) for each in kind.jobs))
    everywhere = set.intersection(*(set(each.overrides) for each in jobs))
    overrides = [each for each in kind.jobs[0].overrides if each in own - everywhere]
    return " ".join(dict.fromkeys([*choices, *overrides]))
