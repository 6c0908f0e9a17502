"""The study's numbers read again, and its p-values against ours."""

import json
from math import floor, log10, sqrt
from pathlib import Path

import numpy as np
import pytest

from tersely.analysis.paired import Pairs, paired_t
from tersely.analysis.published import Difference, Published, published
from tersely.evaluation.composite import METRICS

TABLES = Path(__file__).parents[3] / "shared" / "study" / "published.json"


@pytest.fixture(scope="module")
def study() -> Published:
    return published()


def test_what_was_published(study: Published) -> None:
    """Two models with length-only and six rewards under two strategies: 2 (1 + 6 x 2) = 26."""
    assert (200, 5, 64) == (study.examples, study.rounds, study.target_tokens)
    assert ("LFM-2.5-350M", "Qwen2.5-0.5B") == study.models
    assert 26 == len({run.name for run in study.runs}) == len(study.runs)
    assert 24 == len(study.compared)
    assert (4, 10) == (len(study.zero_shot), len(study.prompts_compared))


def test_tables_agree_with_each_other(study: Published) -> None:
    """A composite is the sum of its four metrics, to the rounding of five numbers to 3 digits; a
    difference is that of two composites."""
    baseline = {run.model: run.composite for run in study.runs if run.reward == "length"}
    for row in (*study.zero_shot, *study.runs):
        assert set(METRICS) == set(row.scores)
        assert row.composite == pytest.approx(sum(row.scores.values()), abs=2.6e-3)
    for run in study.runs:
        if run.against_length_only:
            difference = run.composite - baseline[run.model]
            assert run.against_length_only.difference == pytest.approx(difference, abs=1.1e-3)


def test_17_of_19_survive_holm(study: Published) -> None:
    """The two largest p below 0.05 are 18th and 19th of 24: 0.0085 x 7 = 0.0595 and
    0.0122 x 6 = 0.0732."""
    family = study.holm()
    below = {name for name, test in family.items() if test.p < 0.05}
    survive = {name for name, test in family.items() if test.survives}
    assert (19, 17) == (len(below), len(survive))
    lost = {"Qwen2.5-0.5B / joint / rouge": 0.0595, "LFM-2.5-350M / joint / meteor": 0.0732}
    assert lost == pytest.approx({name: family[name].adjusted for name in below - survive})


def test_the_smallest_effect_that_200_examples_show(study: Published) -> None:
    """Length and ROUGE of Qwen: 0.1392 sqrt(200) / 2.6594 = 0.740, so 0.147 two-sided and 0.131
    one-sided (0.130 by the normal distribution). Over all comparisons 0.122 to 0.167."""
    name = "Qwen2.5-0.5B / joint / rouge"
    assert 0.740 == pytest.approx(study.compared[name].sd(200), abs=5e-4)
    assert 0.147 == pytest.approx(study.smallest_effects()[name], abs=5e-4)
    assert 0.131 == pytest.approx(study.smallest_effects("greater")[name], abs=5e-4)
    effects = study.smallest_effects().values()
    assert (0.122, 0.167) == pytest.approx((min(effects), max(effects)), abs=5e-4)


@pytest.mark.parametrize(
    ("metric", "lfm", "qwen"), [("coverage", 0.935, 0.987), ("conciseness", -0.974, -0.991)]
)
def test_staged_scores_follow_mean_length(
    study: Published, metric: str, lfm: float, qwen: float
) -> None:
    expected = {"LFM-2.5-350M": lfm, "Qwen2.5-0.5B": qwen}
    assert expected == pytest.approx(study.follows_length(metric), abs=6e-4)


def test_our_p_is_the_published_one(study: Published) -> None:
    """200 differences with the published t, through `paired_t`. t is rounded to 4 digits after the
    point, p to 4 or, in powers of ten, to 3 digits: p has to be in the range that leaves."""
    tests = [*study.compared.values(), *(row.test for row in study.prompts_compared)]
    assert 34 == len(tests)
    for test in tests:
        most, least = (p_of(abs(test.t) + by, study.examples) for by in (-5e-5, 5e-5))
        half = half_a_unit(test)
        assert least - half <= test.p <= most + half


def p_of(t: float, n: int) -> float:
    """`paired_t` of n differences that alternate about a mean with standard deviation 1."""
    about = np.resize([1.0, -1.0], n) * sqrt((n - 1) / n)
    pairs = Pairs(tuple(map(str, range(n))), about + t / sqrt(n), np.zeros(n))
    assert t == pytest.approx(paired_t(pairs).statistic)
    return paired_t(pairs).p


def half_a_unit(test: Difference) -> float:
    """Of the last digit that the study prints of this p."""
    return 5e-5 if test.p > 1e-3 else 5e-3 * 10.0 ** floor(log10(test.p))


@pytest.mark.skipif(not TABLES.exists(), reason="needs the study's tables")
def test_the_package_has_the_studys_numbers(study: Published) -> None:
    """All numbers of the tables are there, whatever they are called."""
    tables = json.loads(TABLES.read_text("utf-8"))
    compared = {(r["delta"], r["t"], r["p"]) for r in tables["runs"] if "p" in r}
    assert compared == {(c.difference, c.t, c.p) for c in study.compared.values()}
    rows = {(r["model"], r["composite"], *(r[m] for m in METRICS)) for r in tables["runs"]}
    assert rows == {
        (run.model, run.composite, *(run.scores[m] for m in METRICS)) for run in study.runs
    }
    lengths = {(r["model"], r["mean"], r["std"], r["within_5_of_64"]) for r in tables["lengths"]}
    assert lengths == {
        (run.model, run.tokens.mean, run.tokens.std, run.tokens.within_5_of_64)
        for run in study.runs
    }
