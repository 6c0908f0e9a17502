"""The page that a sweep ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tersely.called import called
from tersely.sweep.result import LAST, JobResult
from tersely.sweep.table import as_markdown, sweep_table


@dataclass(frozen=True)
class Links:
    """How to see the runs in MLflow."""

    command: str | None
    """Starts the UI; None where a server runs already."""
    compare: str
    """The page that shows the sweep's runs side by side."""


def report_text(
    name: str,
    results: Sequence[JobResult],
    links: Links | None,
    not_begun: Sequence[Sequence[str]] = (),
) -> str:
    """Markdown: the table, what failed and why, the overrides of the jobs that have not begun, and
    how to compare the runs in MLflow."""
    note = (
        f"Train reward: the mean of the last {LAST} training steps. All else: greedy "
        "summaries of the test split, after training; lengths in tokens.\n\n"
        f"With tests, intervals and pictures: `{called('report')} sweep={name}`"
    )
    return page(name, results, sweep_table(results), note, links, not_begun)


def page(
    name: str,
    results: Sequence[JobResult],
    rows: Sequence[Mapping[str, str]],
    note: str,
    links: Links | None,
    not_begun: Sequence[Sequence[str]] = (),
) -> str:
    """The page around the table of `rows`; `note` says what its columns are."""
    failed = [result for result in results if not result.finished]
    parts = [f"# Sweep {name}", headline(len(results), len(failed), len(not_begun))]
    if results:
        parts += [as_markdown(rows), note]
    if failed:
        lines = (f"- {' '.join(r.overrides) or 'default'}: {r.error or r.status}" for r in failed)
        parts += ["## Failed", "\n".join(lines)]
    if not_begun:
        parts += ["## Not begun", "\n".join(f"- {' '.join(job) or 'default'}" for job in not_begun)]
    if links is not None:
        parts.append("## In MLflow")
        if links.command is not None:
            parts.append(f"```\n{links.command}\n```")
        parts.append(f"Side by side: {links.compare}")
    return "\n\n".join(parts) + "\n"


def headline(jobs: int, failed: int, not_begun: int) -> str:
    if jobs == 0:
        said = "No job left a result."
    elif failed:
        said = f"{jobs} jobs, {failed} failed."
    else:
        said = f"{jobs} jobs{'' if not_begun else ', all'} finished."
    return f"{said} Not begun: {not_begun}." if not_begun else said
