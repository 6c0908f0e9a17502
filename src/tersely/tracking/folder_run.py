"""A run as plain files in its own folder: params, tags, metrics, tables, artifacts."""

import json
import logging
import os
import posixpath
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from tersely.errors import TrackingError
from tersely.tracking.ending import one_line, status_of
from tersely.tracking.outbox import Point
from tersely.tracking.tracker import Parameter
from tersely.whole_file import read_kept, sync, write_json, write_whole

__all__ = ["METRICS", "TAGS", "FolderRun", "checked", "read_metrics", "write_json"]

log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
TAGS = "tags.json"
TABLES = "tables"
NAME = re.compile(r"[\w.\-/ :]{1,250}")
"""What MLflow allows in a metric's name."""


class FolderRun:
    """The tracker of `tracking=none`, and the safe half of every other one."""

    run_id: str | None = None
    url: str | None = None

    def __init__(
        self, folder: Path, name: str, tags: Mapping[str, str], goes_on: bool = False
    ) -> None:
        """With `goes_on` what an earlier attempt of the same run left is kept and added to."""
        self.folder = folder
        self.name = name
        self.given_tags = dict(tags)
        self.given_params: dict[str, Parameter] = {}
        self.goes_on = goes_on
        self._kept: dict[int, dict[str, Point]] = {}
        """Step to metric: what is not written a second time."""
        self._latest = 0
        """Milliseconds of the newest point."""
        self._metrics: TextIO | None = None

    def __enter__(self) -> Self:
        """Raises TrackingError where the folder cannot be written."""
        with self._written():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.goes_on:
                self._take_up()
            else:
                self._begin_anew()
            self._write_tags("RUNNING")
            self._metrics = (self.folder / METRICS).open("a", encoding="utf-8")
            sync(self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.given_tags["error"] = one_line(error)
        try:
            with self._written():
                try:
                    self._write_tags(status_of(error))
                finally:
                    self._close()
        except TrackingError as unwritten:
            if error is None:
                raise
            error.add_note(str(unwritten))
            log.error("%s", unwritten)

    def params(self, values: Mapping[str, Parameter]) -> None:
        self.given_params.update(values)
        with self._written():
            write_json(self.folder / "params.json", self.given_params, synced=True)

    def tags(self, values: Mapping[str, str]) -> None:
        self.given_tags.update(values)
        with self._written():
            self._write_tags("RUNNING")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.points(values, step)

    def points(self, values: Mapping[str, float], step: int) -> list[Point]:
        """Write one step as one line, and return it as points, for a store.

        The line is on the disk then: no checkpoint outlives the metrics of its steps.
        What an earlier attempt has written of the step is not written again: its own point is
        returned. Only of step 0, which has results and no training, another value is written.
        """
        kept = self._kept.get(step, {})
        # A clock that was set back would make an older point the newer one.
        now = self._latest = max(time.time_ns() // 1_000_000, self._latest + 1)
        points, new = [], {}
        for key, value in values.items():
            point, there = Point(checked(key), float(value), step, now), kept.get(key)
            if there is None or (step == 0 and not same(there, point)):
                points.append(point)
                new[key] = point.value
            else:
                points.append(there)
        if new:
            self._write_line({"step": step, "milliseconds": now, **new})
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
        file = self.folder / TABLES / f"{name}.jsonl"
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with self._written():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, "".join(lines))

    def kept_points(self) -> Iterator[Point]:
        """The points in the folder, in the order they were written."""
        for line in read_metrics(self.folder):
            yield from points_of(line)

    def kept_tables(self) -> Iterator[tuple[str, list[Any]]]:
        """Name and rows of every table in the folder."""
        for file in sorted((self.folder / TABLES).glob("**/*.jsonl")):
            try:
                lines = file.read_text(encoding="utf-8").split("\n")
                rows = [json.loads(line) for line in lines if line]
            except (OSError, ValueError) as error:
                log.warning("the table %s cannot be read (%s)", file, error)
                continue
            yield file.relative_to(self.folder / TABLES).with_suffix("").as_posix(), rows

    def _write_line(self, line: Mapping[str, float]) -> None:
        assert self._metrics is not None, "a tracker is used inside its `with` block"
        with self._written():
            self._metrics.write(json.dumps(line) + "\n")
            self._metrics.flush()
            os.fsync(self._metrics.fileno())

    def _write_tags(self, status: str) -> None:
        tags = {"name": self.name, "status": status, **self.given_tags}
        write_json(self.folder / TAGS, tags)

    def _close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()

    def _take_up(self) -> None:
        """Tags and parameters come back, but for how the earlier attempt ended."""
        earlier = read_kept(self.folder / TAGS)
        of_the_attempt = ("name", "status", "error")
        kept = {key: text for key, text in earlier.items() if key not in of_the_attempt}
        self.given_tags = {**kept, **self.given_tags}
        self.given_params = read_kept(self.folder / "params.json")
        self._take_up_metrics()

    def _take_up_metrics(self) -> None:
        drop_what_is_broken(self.folder / METRICS)
        for point in self.kept_points():
            self._kept.setdefault(point.step, {})[point.key] = point
            self._latest = max(self._latest, point.milliseconds)

    def _begin_anew(self) -> None:
        (self.folder / METRICS).write_text("")
        shutil.rmtree(self.folder / TABLES, ignore_errors=True)
        (self.folder / "params.json").unlink(missing_ok=True)

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Around what writes to the folder. Raises TrackingError where that fails."""
        try:
            yield
        except OSError as error:
            raise TrackingError(
                f"the run's folder {self.folder} cannot be written ({error.strerror}); its "
                "metrics and checkpoints go there; make room, or set hydra.run.dir=FOLDER to "
                "another place"
            ) from error


def points_of(line: Mapping[str, float]) -> list[Point]:
    """A line of the metrics file as points."""
    step, now = int(line["step"]), int(line["milliseconds"])
    return [Point(k, v, step, now) for k, v in line.items() if k not in ("step", "milliseconds")]


def same(one: Point, other: Point) -> bool:
    """Whether both are the same number; not a number is one too."""
    both_nan = one.value != one.value and other.value != other.value
    return both_nan or one.value == other.value


def drop_what_is_broken(file: Path) -> None:
    """Take a last line that a crash cut short off a metrics file, and every line, wherever, that
    cannot be read, which the log says. A sound file is not touched."""
    if not file.exists():
        return
    lines = file.read_bytes().split(b"\n")
    if lines.pop():
        os.truncate(file, sum(len(line) + 1 for line in lines))
    sound = [line for line in lines if is_sound(parsed(line))]
    if len(sound) < len(lines):
        log.warning("%d lines of %s cannot be read and are lost", len(lines) - len(sound), file)
        write_whole(file, b"".join(line + b"\n" for line in sound).decode(), synced=True)


def parsed(line: bytes) -> Any:
    """The JSON value of a line; None for what is none."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def is_sound(values: Any) -> bool:
    """Whether a line's value is a step with its numbers."""
    return (
        isinstance(values, dict)
        and {"step", "milliseconds"} <= values.keys()
        and all(isinstance(value, int | float) for value in values.values())
    )


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics file: `step`, `milliseconds` and the metrics' own names.

    Empty where there is none. A last line that a crash cut short is left out, and so is every
    line, wherever, that cannot be read, which the log says.
    """
    file = folder / METRICS
    if not file.exists():
        return []
    whole = file.read_bytes().split(b"\n")[:-1]
    lines = [values for line in whole if is_sound(values := parsed(line))]
    if len(lines) < len(whole):
        log.warning("%d lines of %s cannot be read and are left out", len(whole) - len(lines), file)
    return lines


def checked(key: str) -> str:
    """The key itself. Raises ValueError where MLflow would refuse it as a metric's name."""
    simple = posixpath.normpath(key) == key and not key.startswith(("/", ".."))
    if not NAME.fullmatch(key) or not simple:
        raise ValueError(
            f"{key!r} cannot name a metric: MLflow takes letters, digits, spaces and _ - . / : only"
        )
    return key
