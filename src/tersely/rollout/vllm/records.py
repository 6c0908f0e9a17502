"""What travels between the trainer and its workers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tersely.errors import TerselyError
from tersely.records import FinishReason


class WorkerFault(TerselyError):
    """One worker failed at one thing. The fleet goes on without it and asks it again later."""

    def __init__(self, url: str, what: str) -> None:
        super().__init__(f"{url}: {what}")
        self.url, self.what = url, what


@dataclass(frozen=True)
class Share:
    """The part of a group that one worker is asked for, in one request."""

    group: int
    """Place of the group in its step."""
    first: int
    """Place in the group of the first rollout that is asked for."""
    count: int
    """How many rollouts."""
    prompt: tuple[int, ...]
    seed: int
    """Of the first rollout; each further one has the next number. So a rollout's seed does not
    depend on who is asked for it."""


class Completion(NamedTuple):
    """One completion as a worker sent it, checked."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


class Sampling(NamedTuple):
    """How to sample: sent in full with every request."""

    max_tokens: int
    temperature: float
    stop_token_ids: tuple[int, ...]
    vocabulary: int = 1 << 31
    """Ids that the policy knows, from 0 on; a reply with another is not used. Not sent. Without
    one, what an id can be for MLX."""


Score = Callable[[Sequence[int], Sequence[int]], list[float]]
"""Prompt ids and completion ids in, the trainer's own log-probability of each completion token
out, at the sampling temperature and with the published weights. Blocks; safe in any thread."""


@dataclass(frozen=True)
class Files:
    """Weights of one version on disk, ready to be fetched."""

    version: int
    """Optimizer updates that they have seen."""
    tag: str
    """Names the version towards workers; no other run, stage or version has the same."""
    folder: Path
    """Where its files lie on the trainer's machine."""
    checksums: dict[str, str]
    """File name to SHA-256 in hex."""


@dataclass(frozen=True)
class Published(Files):
    """What workers are to sample with. Its scores hold the weights in memory, so only the current
    one is kept."""

    score: Score
    before: Score | None = None
    """That of the version published before, None for the first: by it a worker is known that was
    given this version and samples with the last one."""
