"""Which worker is asked for which rollouts of a group."""

from collections.abc import Iterator
from dataclasses import dataclass

from tersely.rollout.vllm.records import Share


@dataclass(frozen=True)
class Request:
    """A group to sample."""

    prompt: tuple[int, ...]
    count: int
    """How many rollouts."""
    seed: int
    """Of the first rollout; each further one has the next number."""


def split(share: Share, parts: int, first_part: int = 0) -> Iterator[tuple[int, Share]]:
    """`share` in up to `parts` shares of consecutive places, as equal as can be, each with the
    number of its part. The larger ones go to part `first_part` and those that follow it: 8 over 3
    parts from part 1 are three for 1, three for 2 and two for 0."""
    size, larger = divmod(share.count, parts)
    taken = 0
    for place in range(parts):
        count = size + (place < larger)
        if count:
            yield (
                (first_part + place) % parts,
                Share(share.group, share.first + taken, count, share.prompt, share.seed + taken),
            )
        taken += count
