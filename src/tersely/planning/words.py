"""Numbers as a person reads them."""

from collections.abc import Iterable
from itertools import groupby

from tersely.planning.estimate import Spread


def duration(seconds: float) -> str:
    """`0.21 s`, `48 s`, `12 min` or `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"


def durations(spread: Spread) -> str:
    """The mean, and from where to where it may be."""
    low, mean, high = (duration(each) for each in (spread.low, spread.mean, spread.high))
    return mean if low == high else f"{mean} ({low} to {high})"


def size(number: float) -> str:
    """Bytes, as disks are sold: `12 MB`, `1.9 GB`."""
    return f"{number / 1e6:.0f} MB" if number < 999.5e6 else f"{number / 1e9:.1f} GB"


def count(number: float) -> str:
    """`2,592`, `1.4 million`."""
    if number < 999_500:
        return f"{number:,.0f}"
    return f"{number / 1e6:,.1f} million" if number < 99.95e6 else f"{number / 1e6:,.0f} million"


def about(number: float) -> str:
    """The same of a number of which no more than three digits are known."""
    return count(float(f"{number:.3g}"))


def dollars(number: float) -> str:
    return f"${number:,.2f}"


def jobs_named(numbers: Iterable[int]) -> str:
    """`job 7`, or `jobs 0-3, 7` of 0, 1, 2, 3 and 7."""
    known = sorted(numbers)
    runs = groupby(enumerate(known), key=lambda pair: pair[1] - pair[0])
    ends = ([number for _, number in run] for _, run in runs)
    said = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in ends)
    return f"job{'s' * (len(known) > 1)} {said}"
