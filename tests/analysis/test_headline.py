"""The sentences that a report begins with."""

import re
from pathlib import Path

from written_runs import write_run

from tersely.analysis.headline import headline
from tersely.analysis.results import analyse
from tersely.analysis.runs import read_run

BASE = [0.40, 0.45, 0.52, 0.46, 0.61, 0.36, 0.42, 0.55]
NOISE = [0.02, -0.02, 0.01, -0.01, 0.02, -0.02, 0.01, -0.01]
MINUS = "\N{MINUS SIGN}"


def said(tmp_path: Path, **scores: list[float]) -> str:
    """The headline on runs with these scores, a reward each."""
    for reward, of_posts in scores.items():
        write_run(tmp_path / reward, of_posts, reward=reward)
    return headline(analyse([read_run(folder) for folder in sorted(tmp_path.iterdir())], None))


def shifted(by: float) -> list[float]:
    return [score + by + noise for score, noise in zip(BASE, NOISE, strict=True)]


def test_nothing_detected_is_no_proof_of_nothing(tmp_path: Path) -> None:
    """Noise that adds up to 0: the difference is 0, and what could have been seen is said.

    The sd of 4 x noise is 4 sqrt(0.002 / 7) = 0.0676. Of two comparisons, the smaller p has to be
    below 2.5 %: t(7) then needs 1.339 sd at 80 % power and n = 8 (at 5 % 1.156; tables of the
    noncentral t), so 0.091.
    """
    text = said(tmp_path, length=BASE, rouge=shifted(0.0), bleu=shifted(0.0))
    assert text.startswith(
        "None of 2 configurations differs detectably from length joint in composite once all "
        "comparisons are judged together (Holm, 5 %). The largest difference is that of rouge "
        "joint: 0.000 (95 % interval "
    )
    assert "p 1.000, Holm p 1.000)" in text
    assert "8 examples show a difference of 0.091 or more with 80 % power, all comparisons" in text
    assert text.endswith("another seed may come out elsewhere.")


def test_higher_and_lower_are_counted(tmp_path: Path) -> None:
    """4 x 0.1 up, 4 x 0.1 down, and one that is neither."""
    scores = {"length": BASE, "rouge": shifted(0.1), "bleu": shifted(-0.1), "meteor": shifted(0)}
    text = said(tmp_path, **scores)
    assert text.startswith("Of 3 configurations, 1 scores higher than length joint and 1 lower in")
    assert "The largest gain is that of rouge joint: +0.400 (95 % interval 0." in text
    assert "no proof" not in text


def test_only_lower_is_said(tmp_path: Path) -> None:
    """The furthest from the baseline is named, with its sign: 4 x -0.2, not 4 x -0.1."""
    text = said(tmp_path, length=BASE, rouge=shifted(-0.1), bleu=shifted(-0.2))
    assert text.startswith("Of 2 configurations, none scores higher than length joint and 2 lower")
    assert f"The largest loss is that of bleu joint: {MINUS}0.800" in text


def test_without_a_baseline_no_difference_is_claimed(tmp_path: Path) -> None:
    """A highest mean is no result."""
    text = said(tmp_path, rouge=BASE)
    assert text.startswith("rouge joint has the highest mean composite, 1.885, but there is no")
    assert "add a run with reward=length, or set baseline=" in text


def test_a_large_loss_is_the_largest_difference(tmp_path: Path) -> None:
    """4 x 0.1 up, 4 x 0.3 down, both detected."""
    text = said(tmp_path, length=BASE, rouge=shifted(0.1), bleu=shifted(-0.3))
    assert f"The largest loss is that of bleu joint: {MINUS}1.200" in text


def test_an_undetected_loss_may_be_the_largest_difference(tmp_path: Path) -> None:
    """Noise ten times as large with a mean of -0.02, against noise with a mean of 0.01:
    4 x -0.02 is further from 0."""
    down = [score - 0.02 + 10 * noise for score, noise in zip(BASE, NOISE, strict=True)]
    text = said(tmp_path, length=BASE, rouge=shifted(0.01), bleu=down)
    assert text.startswith("None of 2")
    assert f"The largest difference is that of bleu joint: {MINUS}0.080" in text


def test_what_could_be_seen_is_of_the_test_that_was_used(tmp_path: Path) -> None:
    """Seeds 0.05 apart on both sides: with two of each, nothing within the interval's margin can
    be shown with 80 % power, though examples alone would show a hundredth of it."""
    for seed, shift in ((0, 0.05), (1, 0.0)):
        base = [score + shift for score in BASE]
        write_run(tmp_path / f"l{seed}", base, reward="length", seed=seed)
        write_run(tmp_path / f"r{seed}", [score + 0.01 for score in base], seed=seed)
    text = headline(analyse([read_run(folder) for folder in sorted(tmp_path.iterdir())], None))
    found = re.search(
        r"interval .([0-9.]+) to ([0-9.]+),.* 8 examples and 2 seeds a side show a difference of "
        r"([0-9.]+) or more with 80 % power\.",
        text,
    )
    assert found, text
    low, high, smallest = map(float, found.groups())
    assert smallest > (high + low) / 2
    assert "even without variance" not in text


def test_seeds_of_an_evaluation_are_no_training_runs(tmp_path: Path) -> None:
    """Two draws of one checkpoint's summaries are no two trainings."""
    for seed in (0, 1):
        write_run(tmp_path / f"l{seed}", BASE, reward="length", seed=seed)
        write_run(tmp_path / f"z{seed}", shifted(0.1), seed=seed, tags={"kind": "evaluation"})
    text = headline(analyse([read_run(folder) for folder in sorted(tmp_path.iterdir())], None))
    assert "both accounted for" not in text
    assert "rouge joint: only evaluated" in text
    assert text.endswith("no variance between training runs is accounted for.")
