"""A finished run as the analysis reads it back, from the files in its folder."""

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tersely.errors import DataError
from tersely.tracking.folder_run import read_metrics

Row = Mapping[str, Any]
"""A summary with its scores, as in the tables `summaries_before` and `summaries_after`."""
Series = Mapping[int, float]
"""Step -> value."""

CURVES = {
    "reward/mean": "reward",
    "reward/std_within_group": "its std within a group",
    "length/mean": "completion length, tokens",
    "update/gradient_norm": "gradient norm",
    "loss/kl_reference": "KL to the reference, nats",
    "loss/ratio_mean": "ratio",
    "loss/clip_share": "share of clipped tokens",
}
"""The metrics whose curves a report shows, and what it calls them."""


@dataclass(frozen=True)
class Run:
    """One training run."""

    folder: Path
    """Where it was read from."""
    run_id: str | None
    """In the MLflow store."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    before: Mapping[str, Row]
    """By `pairing_key`; empty where the run left no such table."""
    after: Mapping[str, Row]
    verdicts: tuple[Row, ...]
    """Of `after`, one a metric and round; empty where nothing was judged."""
    series: Mapping[str, Series]
    """The metrics of `CURVES` that were measured."""
    evaluation: str | None = None
    """The one that `after` and `verdicts` were asked of; None: the end of training."""
    evaluations: tuple[str, ...] = ()
    """Names of those that have summaries."""

    @property
    def finished(self) -> bool:
        """An evaluation stands by itself: it may be of a run whose own judge failed."""
        if self.evaluation is not None:
            return bool(self.after)
        return self.tags.get("status") == "FINISHED" and bool(self.after)

    @property
    def trained(self) -> bool:
        """False of an evaluation that belongs to no run: its seed is that of sampling."""
        return self.tags.get("kind") != "evaluation"

    @property
    def seed(self) -> int:
        return int(self.params.get("seed", 0))

    @property
    def target(self) -> int:
        """Tokens."""
        return int(self.params.get("target", 64))

    @property
    def name(self) -> str:
        return self.tags.get("name") or self.folder.name


def read_run(folder: Path, evaluation: str | None = None) -> Run:
    """The run in `folder`, with the summaries of `evaluation` for those after training.

    Raises DataError where there is none, or where its files are broken.
    """
    if not (folder / "tags.json").is_file():
        raise DataError(
            f"{folder} is no run's folder: it has no tags.json; name the folder of a run, which "
            "training says at its end, or a run's id in MLflow"
        )
    summaries, verdicts = _tables(folder / "tables", evaluation)
    try:
        return Run(
            folder=folder,
            run_id=_json(folder / "result.json").get("run_id"),
            params={key: _text(value) for key, value in _json(folder / "params.json").items()},
            tags=_json(folder / "tags.json"),
            before=_summaries(folder / "tables" / "summaries_before.jsonl"),
            after=_summaries(summaries),
            verdicts=tuple(_lines(verdicts)),
            series=_series(folder),
            evaluation=evaluation,
            evaluations=tuple(_evaluations(folder / "tables")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(
            f"the run in {folder} cannot be read back ({type(error).__name__}: {error}); a report "
            "without it would compare something else, so leave it out with runs=[...] or mend it"
        ) from error


def pairing_key(row: Row) -> str:
    """Summaries with the same key are of the same post, whatever data called it."""
    return f"{row['id']}#{zlib.crc32(str(row['post']).encode()):08x}"


def _tables(tables: Path, evaluation: str | None) -> tuple[Path, Path]:
    """Summaries and verdicts: the evaluation's, else the run's own, else those of the only
    evaluation that there is, as where no training belongs to it."""
    after = tables / "summaries_after.jsonl"
    if evaluation is None and after.exists():
        return after, tables / "verdicts_test.jsonl"
    if evaluation is None:
        known = _evaluations(tables)
        evaluation = known[0] if len(known) == 1 else ""
    place = tables / "eval" / evaluation
    return place / "summaries.jsonl", place / "verdicts.jsonl"


def _evaluations(tables: Path) -> list[str]:
    files = sorted((tables / "eval").glob("**/summaries.jsonl"))
    return [file.parent.relative_to(tables / "eval").as_posix() for file in files]


def _summaries(file: Path) -> dict[str, Row]:
    lines = _lines(file)
    rows = {pairing_key(row): row for row in lines}
    if len(rows) < len(lines):
        raise ValueError(
            f"{file.name} has several summaries of a post, and a report compares one of each; "
            "evaluate with decoding.samples=1"
        )
    return rows


def _series(folder: Path) -> dict[str, Series]:
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for line in read_metrics(folder):
        for key in CURVES.keys() & line.keys():
            series[key][int(line["step"])] = line[key]
    return {key: dict(sorted(series[key].items())) for key in CURVES if key in series}


def _json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    values = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(values, dict)
    return values


def _lines(file: Path) -> Sequence[Row]:
    if not file.exists():
        return ()
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _text(value: object) -> str:
    """As MLflow keeps a parameter."""
    return str(value).lower() if isinstance(value, bool) else str(value)
