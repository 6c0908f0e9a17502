"""What the runs show, in a few sentences that say how sure it is."""

from tersely.analysis.comparison import Comparison
from tersely.analysis.configurations import LENGTH_ONLY
from tersely.analysis.document import p_shown, shown
from tersely.analysis.length import EqualLength
from tersely.analysis.results import Results, mean_score
from tersely.analysis.sides import BEFORE
from tersely.analysis.undecided import Undecided
from tersely.evaluation.lengths import TOLERANCE


def headline(results: Results) -> str:
    """The outcome of the comparisons with the baseline, its interval, and what it rests on."""
    tested = [each for each in results.against_baseline if each.n > 1]
    if not tested:
        return without_comparison(results)
    up = [each for each in tested if each.survives and each.difference > 0]
    down = [each for each in tested if each.survives and each.difference < 0]
    best = largest([*up, *down] or tested)
    sentences = [first_sentence(results, tested, up, down)]
    if len(tested) > 1:
        sentences.append(best_sentence(best))
    if not up and not down:
        sentences.append(what_could_be_seen(best))
    sentences += [*length_sentences(results, best), what_it_rests_on(results, tested)]
    return " ".join(sentence for sentence in sentences if sentence)


def without_comparison(results: Results) -> str:
    """Where nothing can be tested there is still a best mean, which shows little by itself."""
    scored = [
        (mean, name)
        for name, side in results.sides.items()
        if (mean := mean_score(side, results.measure)) is not None
    ]
    if not scored:
        return f"No summary has a {results.measure.name}, so nothing can be said of these runs."
    mean, name = max(scored)
    return (
        f"{name} has the highest mean {results.measure.name}, {shown(mean)}, but there is no "
        "baseline to test it against: add a run with reward=length, or set baseline=."
    )


def first_sentence(
    results: Results, tested: list[Comparison], up: list[Comparison], down: list[Comparison]
) -> str:
    against = against_what(results, {each.b for each in tested})
    measure = results.measure.name
    if len(tested) == 1:
        (one,) = tested
        said = "differs" if one.survives else "does not differ detectably"
        return f"{one.a} {said} from {against} in {measure}: {difference_said(one)}."
    if not up and not down:
        return (
            f"None of {len(tested)} configurations differs detectably from {against} in {measure} "
            "once all comparisons are judged together (Holm, 5 %)."
        )
    higher = f"{scores(len(up))} higher than {against}" + (
        f" and {len(down)} lower" if down else ""
    )
    return (
        f"Of {len(tested)} configurations, {higher} in {measure} once all comparisons are judged "
        "together (Holm, 5 %)."
    )


def scores(count: int) -> str:
    return {0: "none scores", 1: "1 scores"}.get(count, f"{count} score")


def against_what(results: Results, baselines: set[str]) -> str:
    rewards = {each.reward for each in results.configurations if each.name in baselines}
    if baselines == {BEFORE}:
        return "the policy before training"
    if len(baselines) == 1:
        return next(iter(baselines))
    if BEFORE in baselines or rewards != {LENGTH_ONLY}:
        return "their baselines"
    return "length-only"


def largest(comparisons: list[Comparison]) -> Comparison:
    """In absolute value; of two that are as large, the gain."""

    def size(each: Comparison) -> tuple[float, bool, str]:
        return round(abs(each.difference), 9), each.difference > 0, each.a

    return max(comparisons, key=size)


def best_sentence(best: Comparison) -> str:
    lead = "The largest difference is"
    if best.survives:
        lead = "The largest gain is" if best.difference > 0 else "The largest loss is"
    return f"{lead} that of {best.a}: {difference_said(best)}."


def difference_said(each: Comparison) -> str:
    """`+0.123 (95 % interval 0.020 to 0.226, p 0.020, Holm p 0.040)`"""
    interval = each.interval
    parts = []
    if not isinstance(interval, Undecided):
        parts.append(f"95 % interval {shown(interval.low)} to {shown(interval.high)}")
    parts.append(f"p {p_shown(each.p)}")
    if each.adjusted is not None:
        parts.append(f"Holm p {p_shown(each.adjusted.adjusted)}")
    return f"{shown(each.difference, '+.3f')} ({', '.join(parts)})"


def what_could_be_seen(each: Comparison) -> str:
    """Nothing found is no proof of nothing there."""
    smallest = each.smallest_there
    if isinstance(smallest, Undecided) or smallest == 0:
        return ""
    what, but = f"{each.n} examples show", ", even without variance between seeds"
    if each.over_seeds:
        what, but = f"{each.n} examples and {min(each.seeds)} seeds a side show", ""
    together = ", all comparisons judged together" if each.level < 0.05 else ""
    return (
        f"That is no proof that they are the same: {what} a difference of "
        f"{shown(smallest)} or more with 80 % power{together}{but}."
    )


def length_sentences(results: Results, best: Comparison) -> list[str]:
    """Whether the difference may be one of length."""
    side = results.sides[best.a]
    mean = sum(side.lengths) / len(side.lengths)
    said = []
    if abs(mean - side.target) > TOLERANCE:
        said.append(
            f"The summaries of {best.a} have {mean:.1f} tokens on average and leave the budget of "
            f"{side.target}."
        )
    equal = best.equal_length
    if isinstance(equal, EqualLength):
        said.append(
            f"At equal length the difference is {shown(equal.difference, '+.3f')} "
            f"({shown(equal.interval.low)} to {shown(equal.interval.high)}, over examples alone)"
            + (", which is beyond the data." if equal.extrapolated else ".")
        )
    return said


def what_it_rests_on(results: Results, tested: list[Comparison]) -> str:
    """Whether the sentences are about configurations or about single checkpoints."""
    compared = {name for each in tested for name in (each.a, each.b)}
    drawn = [
        each.name for each in results.configurations if each.name in compared and not each.trained
    ]
    if drawn:
        return (
            f"{', '.join(drawn)}: only evaluated, so what counts as a seed there is a draw of "
            "summaries from one checkpoint, and no variance between training runs is accounted "
            "for."
        )
    if all(each.over_seeds for each in tested):
        fewest = min(min(each.seeds) for each in tested)
        return f"Examples and seeds ({fewest} or more a configuration) are both accounted for."
    if any(each.over_seeds for each in tested):
        return (
            "Some configurations have one seed: what is said of those holds for their checkpoints, "
            "and another seed may come out elsewhere."
        )
    return (
        "One seed a configuration: this holds for these checkpoints, and another seed may come out "
        "elsewhere."
    )
