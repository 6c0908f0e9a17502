"""From what was measured of a few steps to what all of them will cost: pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tersely.planning.measured import Measured


@dataclass(frozen=True)
class Spread:
    """A number that is not known for sure."""

    low: float
    mean: float
    high: float

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(self.low + other.low, self.mean + other.mean, self.high + other.high)

    def times(self, number: float) -> "Spread":
        """Each of the three."""
        return Spread(self.low * number, self.mean * number, self.high * number)


def sure(value: float) -> Spread:
    """A number that is."""
    return Spread(value, value, value)


NOTHING = sure(0.0)


def spread_of(values: Sequence[float], in_a_row: int = 1) -> Spread:
    """Least, mean and greatest of the means over `in_a_row` values next to each other; of the
    mean of all where there are fewer."""
    width = min(in_a_row, len(values))
    means = [fmean(values[at : at + width]) for at in range(len(values) - width + 1)]
    return Spread(min(means), fmean(means), max(means))


@dataclass(frozen=True)
class Work:
    """What a job has left to do."""

    steps: int
    stages: int
    """In which these steps are taken; each has a first one."""
    summaries: int
    """Of the test split, before and after, and of the validation split."""


@dataclass(frozen=True)
class Rates:
    """What a kind of job costs."""

    step_s: Spread
    first_step_s: float
    """What the first step of a stage takes more."""
    summary_s: float
    ready_s: float
    """Before the first summary."""
    sampled: Spread
    """Tokens a step."""
    learned: Spread
    """Tokens a step."""


def rates_of(measured: Measured, sync_every: int, ready_s: float) -> Rates:
    """The rates of a kind. Steps between two publications cost one more than another, so means
    over `sync_every` of them in a row are compared."""
    steps = measured.steps or (measured.first,)
    step_s = spread_of([step.seconds for step in steps], sync_every)
    return Rates(
        step_s=step_s,
        first_step_s=max(0.0, measured.first.seconds - step_s.mean),
        summary_s=measured.summary_s,
        ready_s=ready_s,
        sampled=spread_of([float(step.sampled) for step in steps]),
        learned=spread_of([float(step.learned) for step in steps]),
    )


def seconds_of(work: Work, rates: Rates) -> Spread:
    """Of one job: loading, steps and summaries."""
    fixed = rates.ready_s + work.stages * rates.first_step_s + work.summaries * rates.summary_s
    return rates.step_s.times(work.steps) + sure(fixed)


@dataclass(frozen=True)
class Disk:
    """Bytes of a job's checkpoints."""

    left: int
    """When it has finished."""
    most: int
    """While it goes on."""


def disk_of(
    measured: Measured,
    trained: Sequence[int],
    *,
    stages: int,
    save_every: int | None,
    keep_last: int,
    evaluate_every: int | None,
    copied: bool,
) -> Disk:
    """Of a job of so many `stages`, which trains some of them itself, in as many steps as
    `trained` says. The policy in a checkpoint is float32. `copied`: a run store gets the last one.

    A checkpoint is due after every `save_every` steps of a stage but its last. A new one is whole
    before the oldest is removed. The states in them are removed when the run ends, and so is the
    policy between two stages.
    """
    policy = 4 * measured.parameters
    whole = policy + measured.state_bytes
    saves = sum((steps - 1) // save_every for steps in trained) if save_every else 0
    looks = sum(steps // evaluate_every for steps in trained) if evaluate_every else 0
    kept, best = min(saves, keep_last), policy if looks else 0
    saving, ending = min(saves, keep_last + 1) * whole, kept * whole + policy
    return Disk(
        left=policy * (1 + copied) + kept * policy + best,
        most=max(saving, ending + policy * copied) + (policy if stages > 1 else 0) + best,
    )


def at_target(prompts: int, group_size: int, target: int) -> int:
    """Tokens of a step whose completions all have the target's length and an end of turn."""
    return prompts * group_size * (target + 1)
