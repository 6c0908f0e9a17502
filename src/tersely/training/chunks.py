"""How the completions of a group are put into chunks that fit in memory.

A chunk is scored in one pass through the model, padded to its longest completion. Completions of
about the same length share a chunk, because padding costs as much as tokens do. Lengths are
rounded up, so that a long run meets few different shapes and its memory is used again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STEP = 8
"""Chunks are padded to a multiple of this many tokens."""

CHUNK_COST = 64
"""What one more chunk costs, in tokens: its products are smaller and there are more of them.
On two cores, 16 completions of 64 tokens took as long in two chunks as in one, and in four as
with 110 tokens more for each further chunk (a model of 4 layers of 256)."""


@dataclass(frozen=True)
class Chunk:
    """Some completions of a group."""

    rows: tuple[int, ...]
    """Their places in the group."""
    length: int
    """Tokens that each is padded to."""

    @property
    def tokens(self) -> int:
        """Positions that go through the model, padding included."""
        return len(self.rows) * self.length


@dataclass(frozen=True)
class Plan:
    """The chunks of a group and how they are worked through."""

    chunks: tuple[Chunk, ...]
    together: bool
    """Whether all chunks and the prompt are in memory at once. Otherwise one chunk after the
    other is, and the prompt goes through the model a second time for its own gradient."""
    checkpoint: bool
    """Whether the inside of each layer is computed again instead of kept."""


def plans(
    lengths: Sequence[int], rollouts_per_chunk: int | None, checkpoint: bool | None
) -> Iterator[Plan]:
    """Plans for completions of `lengths` tokens, the fastest first.

    Everything at once; then smaller and smaller chunks one after the other, for which the
    prompt's pass is repeated; then both again with checkpoints, for which every pass is.
    `rollouts_per_chunk` and `checkpoint` are taken as given where they are.
    """
    group = len(lengths)
    for each in (False, True) if checkpoint is None else (checkpoint,):
        if rollouts_per_chunk is None or rollouts_per_chunk >= group:
            yield Plan(split(lengths, group), True, each)
        largest = group - 1 if rollouts_per_chunk is None else rollouts_per_chunk
        smallest = 1 if rollouts_per_chunk is None else largest
        for most in range(min(largest, group), smallest - 1, -1):
            chunks = split(lengths, most)
            if len(chunks) > 1:
                yield Plan(chunks, False, each)


def split(lengths: Sequence[int], most: int) -> tuple[Chunk, ...]:
    """Chunks of at most `most` completions that cost least: padded tokens plus `CHUNK_COST`
    a chunk. Longest first."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    padded = [_round_up(lengths[row]) for row in order]
    # best[n]: least cost of the first n completions, and where its last chunk begins.
    best = [(0, 0)]
    for end in range(1, len(order) + 1):
        best.append(
            min(
                (best[begin][0] + (end - begin) * padded[begin] + CHUNK_COST, begin)
                for begin in range(max(0, end - most), end)
            )
        )
    chunks, end = [], len(order)
    while end:
        begin = best[end][1]
        chunks.append(Chunk(tuple(order[begin:end]), padded[begin]))
        end = begin
    return tuple(reversed(chunks))


def _round_up(length: int) -> int:
    return -(-length // STEP) * STEP
