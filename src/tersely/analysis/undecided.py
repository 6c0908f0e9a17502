"""A question that the data at hand cannot answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Undecided:
    """Stands where a result would, so that nobody reads a number that means nothing."""

    reason: str
    """What is missing and what would mend it, as a sentence."""
