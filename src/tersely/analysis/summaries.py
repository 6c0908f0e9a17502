"""The same post's summaries, by all configurations: for a spreadsheet, and for the page."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tersely.analysis.results import Results, before_label

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet computes (OWASP, "CSV Injection")."""


def write_csv(results: Results, file: Path) -> None:
    """One row a summary. A text that a spreadsheet would compute stands behind an apostrophe; as
    they are, texts are in the runs' own tables."""
    names = ["id", "configuration", "seed", "length", "stopped", "measure", *results.columns]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [*names, "summary", "reference", "post"])
        writer.writeheader()
        for configuration, seed, _, row in every_summary(results):
            scores = {column: row.get(column) for column in results.columns}
            writer.writerow(
                {
                    "id": as_text(row["id"]),
                    "configuration": as_text(configuration),
                    "seed": seed,
                    "length": row["length"],
                    "stopped": row.get("stopped"),
                    "measure": results.measure.of(row),
                    **scores,
                    **{name: as_text(row.get(name)) for name in ("summary", "reference", "post")},
                }
            )


def as_text(value: object) -> object:
    """`value`, and what looks like a formula as a spreadsheet's own mark of a text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def every_summary(results: Results) -> Iterator[tuple[str, int, str, dict[str, Any]]]:
    """Configuration, seed, pairing key and row; for each model also those before training."""
    seen = set()
    for each in results.configurations:
        for run in each.runs:
            if each.model not in seen and run.before:
                seen.add(each.model)
                label = before_label(results, each.model)
                for key, row in run.before.items():
                    yield label, run.seed, key, dict(row)
            for key, row in run.after.items():
                yield each.name, run.seed, key, dict(row)


def side_by_side(results: Results) -> dict[str, Any]:
    """What the page shows a post's summaries from, every text once.

    `posts` are `{id, post, reference, summaries}`; a summary is `[configuration, seed, text,
    length, measure, *beside]`, the first a place in `configurations`.
    """
    places: dict[str, int] = {}
    posts: dict[str, dict[str, Any]] = {}
    for configuration, seed, key, row in every_summary(results):
        place = places.setdefault(configuration, len(places))
        post = posts.setdefault(
            key,
            {
                "id": row["id"],
                "post": row["post"],
                "reference": row.get("reference", ""),
                "summaries": [],
            },
        )
        scores = [results.measure.of(row), *(row.get(column) for column in results.beside)]
        post["summaries"].append(
            [place, seed, row["summary"], row["length"], *map(_rounded, scores)]
        )
    return {"configurations": list(places), "posts": [posts[key] for key in sorted(posts)]}


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
