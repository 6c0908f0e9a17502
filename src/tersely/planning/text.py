"""A plan as plain text, at most 100 columns wide."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from tersely.planning.jobs import Planned
from tersely.planning.kinds import Kind, described
from tersely.planning.plan import Plan
from tersely.planning.stages import SharedStage, StageLeft
from tersely.planning.totals import kind_lines, total_lines
from tersely.planning.words import duration, jobs_named

WIDTH = 100


def plan_text(plan: Plan) -> str:
    """Everything that a dry run found out."""
    sections = (_head(plan), _jobs(plan), _shared(plan), _refused(plan), _estimate(plan))
    problems = (_filled(problem, "") for problem in plan.problems)
    return "\n\n".join(text for text in (*sections, *problems) if text)


def _head(plan: Plan) -> str:
    count = len(plan.jobs.planned) + len(plan.jobs.refused)
    finished = sum(done.finished for done in plan.done.values())
    begun = sum(done.begun for done in plan.done.values())
    said = [f"Dry run: {count} job{'s' * (count != 1)}"]
    said += [f"{finished} of them FINISHED before"] if finished else []
    said += [f"{begun} of them begun"] if begun else []
    said += [f"{len(plan.jobs.refused)} of them refused"] if plan.jobs.refused else []
    lines = [", ".join(said)]
    if (finished or begun) and plan.jobs.folder is not None:
        lines.append(f"in {plan.jobs.folder}")
    if common := _common(plan):
        lines.append(_filled(f"each with {' '.join(common)}", "  "))
    return "\n".join(lines)


def _common(plan: Plan) -> list[str]:
    """Overrides that all jobs have, where there are several."""
    every = [each.overrides for each in plan.jobs.planned]
    every += [each.overrides for each in plan.jobs.refused]
    if len(every) < 2:
        return []
    return [each for each in every[0] if all(each in overrides for overrides in every)]


def _jobs(plan: Plan) -> str:
    if not plan.jobs.planned:
        return ""
    kind_of = {each.number: kind.name for kind in plan.kinds for each in kind.jobs}
    common = set(_common(plan))
    rows = [("job", "kind", "left to do", "time", "overrides")]
    for each in plan.jobs.planned:
        own = " ".join(override for override in each.overrides if override not in common)
        finished = plan.done[each.number].finished
        cost = plan.costs.get(each.number)
        rows.append(
            (
                str(each.number),
                "" if finished else kind_of[each.number],
                _left(plan, each),
                duration(cost.seconds.mean) if cost else "" if finished else "?",
                own or "(defaults)",
            )
        )
    return "\n".join(_table(rows))


def _left(plan: Plan, job: Planned) -> str:
    if plan.done[job.number].finished:
        return "nothing, FINISHED"
    if plan.done[job.number].trained:
        return "scores after training"
    said = (_stage(each, job) for each in plan.stages[job.number] if not each.ended)
    return " + ".join(said)


def _stage(stage: StageLeft, job: Planned) -> str:
    name = f"{stage.name} {stage.shared.name}" if stage.shared else stage.name
    if stage.taken:
        return f"({name})"
    if stage.steps is None:
        return f"{name}: {job.config.trainer.duration()}"
    return f"{name}: {stage.left} of {stage.steps}" if stage.done else f"{name}: {stage.left}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """All columns but the last aligned; the last one goes on below itself where it is too long."""
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    indent = " " * (sum(widths) + 2 * len(widths))
    for row in rows:
        before = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        yield textwrap.fill(
            row[-1],
            WIDTH,
            initial_indent=before,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )


def _shared(plan: Plan) -> str:
    wanted = [
        each for each in plan.shared if any(not plan.done[number].finished for number in each.jobs)
    ]
    if not wanted:
        return ""
    lines = [_filled(f"{each.name}  {_told(each)}", "    ") for each in wanted]
    return "\n".join(["shared stages", *lines])


def _told(stage: SharedStage) -> str:
    whose = f"{stage.stage} of seed {stage.seed}, for {jobs_named(stage.jobs)}"
    if stage.there:
        return f"{whose}: there already, {stage.folder / (stage.key or '')}"
    if stage.trained_by is None:
        return f"{whose}: nobody has to train it"
    trained = f"{whose}: trained once, by job {stage.trained_by}"
    return trained if stage.key else f"{trained} (unless {stage.folder} has it)"


def _refused(plan: Plan) -> str:
    reasons: dict[str, list[int]] = {}
    overrides = {each.number: " ".join(each.overrides) for each in plan.jobs.refused}
    for each in plan.jobs.refused:
        reasons.setdefault(each.reason, []).append(each.number)
    if not reasons:
        return ""
    lines = ["refused"]
    for reason, refused in reasons.items():
        lines += [_filled(f"{number:<3}  {overrides[number]}", "     ") for number in refused]
        lines.append(_filled(f"     {reason}", "     "))
    return "\n".join(lines)


def _estimate(plan: Plan) -> str:
    if not plan.costs:
        return "" if plan.waiting or not plan.jobs.planned else "Nothing is left to do."
    lines = ["estimate, from a few measured steps"]
    for kind in plan.kinds:
        if kind.name in plan.rates:
            lines += [_kind_head(kind, plan), *_pairs(kind_lines(kind, plan))]
    lines += ["all that is left, one job after another", *_pairs(total_lines(plan))]
    return "\n".join(lines)


def _kind_head(kind: Kind, plan: Plan) -> str:
    what = described(kind, plan.jobs.planned)
    jobs = jobs_named(each.number for each in kind.jobs)
    return _filled(f"kind {kind.name}, {jobs}{': ' if what else ''}{what}", "    ")


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=f"  {name:<14}",
            subsequent_indent=" " * 16,
            break_on_hyphens=False,
        )
        for name, text in pairs
    ]


def _filled(text: str, indent: str) -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
