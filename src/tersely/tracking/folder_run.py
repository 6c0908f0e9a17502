"""A run as plain files in its own folder: params, tags, metrics, tables, artifacts."""

import json
import posixpath
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tersely.errors import TrackingError
from tersely.tracking.ending import one_line, status_of
from tersely.tracking.outbox import Point
from tersely.tracking.tracker import Parameter

METRICS = "metrics.jsonl"
NAME = re.compile(r"[\w.\-/ :]{1,250}")
"""What MLflow allows in a metric's name."""


class FolderRun:
    """The tracker of `tracking=none`, and the safe half of every other one."""

    run_id: str | None = None
    url: str | None = None

    def __init__(
        self, folder: Path, name: str, tags: Mapping[str, str], first_step: int = 0
    ) -> None:
        self.folder = folder
        self.name = name
        self.given_tags = dict(tags)
        self._params: dict[str, Parameter] = {}
        self._first_step = first_step
        self._metrics: TextIO | None = None

    def __enter__(self) -> Self:
        """Raises TrackingError where the folder cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._drop_earlier_attempt()
            self._metrics = (self.folder / METRICS).open("a", encoding="utf-8")
            self._write_tags("RUNNING")
        except OSError as error:
            raise TrackingError(
                f"the run's folder {self.folder} cannot be written ({error.strerror}); its "
                "metrics and checkpoints go there; set hydra.run.dir=FOLDER to another place"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.given_tags["error"] = one_line(error)
        self._write_tags(status_of(error))
        if self._metrics is not None:
            self._metrics.close()

    def params(self, values: Mapping[str, Parameter]) -> None:
        self._params.update(values)
        write_json(self.folder / "params.json", self._params)

    def tags(self, values: Mapping[str, str]) -> None:
        self.given_tags.update(values)
        self._write_tags("RUNNING")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.points(values, step)

    def points(self, values: Mapping[str, float], step: int) -> list[Point]:
        """Write one step as one line, and return it as points, for a store."""
        now = time.time_ns() // 1_000_000
        points = [Point(checked(key), float(value), step, now) for key, value in values.items()]
        line = {"step": step, "milliseconds": now, **{p.key: p.value for p in points}}
        assert self._metrics is not None, "a tracker is used inside its `with` block"
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()
        return points

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file that is in the run's folder already stays where it is."""
        if path.resolve().is_relative_to(self.folder.resolve()):
            path.stat()
            return
        target = self.folder / "artifacts" / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        file = self.folder / "tables" / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.write_text("".join(lines), encoding="utf-8")

    def kept_points(self) -> Iterator[Point]:
        """The points in the folder, in the order they were written."""
        for line in read_metrics(self.folder):
            step, now = int(line.pop("step")), int(line.pop("milliseconds"))
            yield from (Point(key, value, step, now) for key, value in line.items())

    def _write_tags(self, status: str) -> None:
        tags = {"name": self.name, "status": status, **self.given_tags}
        write_json(self.folder / "tags.json", tags)

    def _drop_earlier_attempt(self) -> None:
        kept = [line for line in read_metrics(self.folder) if line["step"] < self._first_step]
        (self.folder / METRICS).write_text("".join(json.dumps(line) + "\n" for line in kept))
        if self._first_step == 0:
            shutil.rmtree(self.folder / "tables", ignore_errors=True)
            (self.folder / "params.json").unlink(missing_ok=True)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics file: `step`, `milliseconds` and the metrics' own names.

    Empty where there is none. A last line that a crash cut short is left out.
    """
    file = folder / METRICS
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def write_json(file: Path, values: Mapping[str, object]) -> None:
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def checked(key: str) -> str:
    """The key itself. Raises ValueError where MLflow would refuse it as a metric's name."""
    simple = posixpath.normpath(key) == key and not key.startswith(("/", ".."))
    if not NAME.fullmatch(key) or not simple:
        raise ValueError(
            f"{key!r} cannot name a metric: MLflow takes letters, digits, spaces and _ - . / : only"
        )
    return key
