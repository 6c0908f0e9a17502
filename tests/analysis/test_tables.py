"""The tables of a report, cell by cell where it matters."""

import pytest
from written_runs import write_run

from tersely.analysis.document import MISSING, Table
from tersely.analysis.length_tables import equal_length_table, length_table
from tersely.analysis.results import Results, analyse
from tersely.analysis.runs import read_run
from tersely.analysis.tables import (
    best_table,
    difference_table,
    other_tests_table,
    score_table,
    training_table,
)

PLUS = [0.50, 0.55, 0.60, 0.75]
BASE = [0.40, 0.45, 0.55, 0.60]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Length-only with one seed, rouge joint and staged with two; staged is longer."""
    folder = tmp_path_factory.mktemp("tables")
    write_run(folder / "l", BASE, reward="length", before=[0.25] * 4)
    for seed in (0, 1):
        scores = [score + 0.1 * seed for score in PLUS]
        write_run(folder / f"j{seed}", scores, seed=seed, lengths=[60, 64, 68, 72])
        write_run(
            folder / f"s{seed}", PLUS, strategy="staged", seed=seed, lengths=[100, 110, 120, 130]
        )
    return analyse([read_run(each) for each in sorted(folder.iterdir())], None)


def texts(table: Table, name: str) -> dict[str, str]:
    """Column to text of the row that begins with `name`."""
    (row,) = (row for row in table.rows if row[0].text == name)
    return dict(zip(table.columns, (cell.text for cell in row), strict=True))


def test_scores(results: Results) -> None:
    """PLUS has the mean 0.6, so 4 x (0.6 + 0.7) / 2 = 2.6 over two seeds, whose means 2.4 and 2.8
    have a standard deviation of 0.4 / sqrt(2) = 0.283; all 8 rounds are at 0.5 or above."""
    found = texts(score_table(results), "rouge joint")
    assert ("2", "2.600", "0.283", "0.650", "0.650", "100.0%") == tuple(
        found[c] for c in ("seeds", "composite", "± seeds", "mean of 4", "coverage", "pass rate")
    )
    assert "8" == found["rounds"]
    before = texts(score_table(results), "before training")
    assert ("1.000", MISSING, MISSING) == tuple(
        before[c] for c in ("composite", "seeds", "pass rate")
    )


def test_differences(results: Results) -> None:
    """4 x (0.65 - 0.5) = 0.6. The baseline has one seed, so the test is over examples: d is 0.6,
    0.6, 0.4, 0.8, its sd 0.1633, t = 0.6 / (0.1633 / 2) = 7.35, p = 0.005; Holm doubles it."""
    found = texts(difference_table(results.against_baseline), "rouge joint")
    assert ("length joint", "4", "0", "+0.600", "7.35", "0.005", "0.010", "higher") == tuple(
        found[c] for c in ("against", "n", "missing", "Δ", "t", "p", "Holm p", "verdict")
    )


def test_the_interval_beside_p_is_the_t_test_s(results: Results) -> None:
    """0.6 +- 3.182 x 0.1633 / 2 = 0.6 +- 0.260; the bootstrap's, which cannot go beyond the
    differences, stands among the other tests."""
    found = texts(difference_table(results.against_baseline), "rouge joint")
    assert "0.340 to 0.860" == found["95 % interval"]
    name = "rouge joint against length joint"
    other = texts(other_tests_table(results.against_baseline), name)["bootstrap interval"]
    low, high = map(float, other.split(" to "))
    assert 0.4 <= low and high <= 0.8


def test_lengths(results: Results) -> None:
    """60, 64, 68, 72 twice: mean 66, half are within 5 of 64 ... 60, 64 and 68 are: 3 of 4."""
    found = texts(length_table(results), "rouge joint")
    assert ("66.0", "60.0", "72.0", "75.0%", "100.0%") == tuple(
        found[c] for c in ("mean", "min", "max", "within ±5", "stopped")
    )
    assert "90.0" == texts(length_table(results), "before training")["mean"]


def test_equal_length(results: Results) -> None:
    """Joint: d = 0.6, 0.6, 0.4, 0.8 at 60, 64, 68, 72 less 64: slope (0.6 x -6 + 0.6 x -2 + 0.4 x
    2 + 0.8 x 6) / 80 = 0.01, so 0.6 - 0.01 x 2 = 0.58. Staged is longer in every pair."""
    found = texts(equal_length_table(results), "rouge joint")
    assert ("+0.580", "+0.0100", "", "6 of 8", "3") == tuple(
        found[c]
        for c in (
            "Δ at equal length",
            "Δ a token",
            "note",
            "summaries within",
            "posts where both are",
        )
    )
    staged = texts(equal_length_table(results), "rouge staged")
    assert ("beyond the data", "0 of 8", MISSING) == tuple(
        staged[c] for c in ("note", "summaries within", "Δ there")
    )


def test_the_best_of_each_strategy(results: Results) -> None:
    """Length-only is no strategy's best."""
    found = texts(best_table(results), "tiny")
    assert ("rouge joint", "rouge staged") == (found["best joint"], found["best staged"])
    assert ("2.600", "66.0", "2.400", "115.0") == tuple(
        found[c] for c in ("score", "tokens", "score ", "tokens ")
    )


def test_how_training_ended(results: Results) -> None:
    """All 4 steps are among the last 5: (0.1 + 0.2 + 0.3 + 0.4) / 4."""
    found = texts(training_table(results), "rouge joint")
    assert ("0.25", "97.5", MISSING) == tuple(
        found[c] for c in ("reward", "completion length, tokens", "gradient norm")
    )
