"""What a run tells about itself while it goes on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

Parameter = str | int | float | bool


class Tracker(Protocol):
    """One run, from the start of the `with` block to its end.

    An exception that leaves the block marks the run FAILED (KILLED for an interrupt), stores
    its one-line reason as the tag `error`, and goes on.
    """

    @property
    def run_id(self) -> str | None:
        """The run's id in the store; None where there is no store."""
        ...

    @property
    def url(self) -> str | None:
        """Where the run is seen in a browser; None where there is no store."""
        ...

    def params(self, values: Mapping[str, Parameter]) -> None:
        """The few short values that tell this run from others; each is given once."""
        ...

    def tags(self, values: Mapping[str, str]) -> None:
        """Words about the run; a tag given again replaces the first."""
        ...

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of one step. Costs no wait for the store.

        NaN is kept, infinity too; the same key and step given twice makes two points. Of a step
        that an earlier attempt has written nothing is written again but results that differ.
        Raises ValueError for a name that MLflow would refuse.
        """
        ...

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file, or a folder under its own name, below `folder` of the run's artifacts."""
        ...

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Keep rows of JSON values; a table given again replaces the first."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
