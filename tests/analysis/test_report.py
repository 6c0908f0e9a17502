"""A whole report, from runs on disk to its files and its place in the store."""

import csv
import json
import re
from pathlib import Path

import pytest
from written_runs import write_run

from tersely.analysis.config import ReportConfig
from tersely.analysis.report import make_report, report_folder
from tersely.errors import DataError
from tersely.tracking import MlflowTracking, NoTracking

BETTER = [0.50, 0.56, 0.61, 0.57, 0.72, 0.45, 0.53, 0.66]
BASE = [0.40, 0.45, 0.52, 0.46, 0.61, 0.36, 0.42, 0.55]
"""Each metric's score of each post; the composite is four times that."""


@pytest.fixture(scope="module")
def multirun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rewards and length-only, two seeds each; the staged one leaves the budget."""
    sweep = tmp_path_factory.mktemp("report") / "multirun" / "night"
    for seed in (0, 1):
        shift = 0.005 * seed
        base = [score + shift for score in BASE]
        better = [score - shift for score in BETTER]
        write_run(sweep / f"l{seed}", base, reward="length", seed=seed, before=[0.2] * 8)
        write_run(sweep / f"r{seed}", better, seed=seed)
        write_run(
            sweep / f"s{seed}",
            better,
            strategy="staged",
            seed=seed,
            lengths=[100 + s for s in range(8)],
        )
    write_run(sweep / "failed", [], reward="bleu", error=RuntimeError("no"))
    return sweep.parent


@pytest.fixture(scope="module")
def report(multirun: Path) -> Path:
    return make_report(ReportConfig(sweep="night", folder=str(multirun), tracking=NoTracking()))


def test_a_report_is_files_beside_the_sweep(report: Path, multirun: Path) -> None:
    """All that was promised, each picture in two forms."""
    assert multirun / "night" / "report" == report
    pictures = {f"figures/{n}.{e}" for n in
                ("differences", "lengths", "frontier", "correlations", "curves")
                for e in ("svg", "png")}  # fmt: skip
    files = {str(p.relative_to(report)) for p in report.rglob("*") if p.is_file()}
    assert {"report.md", "report.html", "report.json", "summaries.csv", *pictures} == files


def test_the_numbers_are_those_of_the_runs(report: Path) -> None:
    """rouge: sum(BETTER) = 4.60, so 4 (4.60 / 8 - 0.005 / 2) = 2.29 is the mean over posts and
    seeds; length: sum(BASE) = 3.77, 4 (3.77 / 8 + 0.0025) = 1.895; the difference is 0.395."""
    numbers = json.loads((report / "report.json").read_text())
    scores = {each["name"]: each["score"] for each in numbers["configurations"]}
    assert 2.29 == pytest.approx(scores["rouge joint"])
    assert 1.895 == pytest.approx(scores["length joint"])
    joint, staged = numbers["against_baseline"]
    assert ("rouge joint", "length joint", [2, 2]) == (joint["a"], joint["b"], joint["seeds"])
    assert 0.395 == pytest.approx(joint["difference"])
    assert joint["over_seeds"] and joint["adjusted"]["survives"]
    assert "rouge staged" == staged["a"]
    (pair,) = numbers["staged_against_joint"]
    assert 0.0 == pair["difference"]
    assert ["rouge joint", "rouge staged"] == [numbers["best"][0][k] for k in ("joint", "staged")]
    pass_rates = {each["name"]: each["pass_rate"]["rate"] for each in numbers["configurations"]}
    # BASE has 0.52, 0.61 and 0.55 at 0.5 or above; 0.005 more moves none across.
    assert 3 / 8 == pass_rates["length joint"]


def test_the_headline_says_what_how_much_and_how_sure(report: Path) -> None:
    """And so does the first line that is read in either file."""
    said = json.loads((report / "report.json").read_text())["headline"]
    assert said.startswith(
        "Of 2 configurations, 2 score higher than length joint in composite once all comparisons "
        "are judged together (Holm, 5 %). The largest gain is that of rouge staged: +0.395 (95 % "
        "interval "
    )
    assert (
        "The summaries of rouge staged have 103.5 tokens on average and leave the budget of 64."
        in said
    )
    assert said.endswith("Examples and seeds (2 or more a configuration) are both accounted for.")
    assert f"**{said}**" in (report / "report.md").read_text()


def test_the_warnings_name_what_to_be_wary_of(report: Path) -> None:
    """The failed run, the configuration that is long, and that nothing shows it to be better than
    the baseline at its length."""
    warnings = json.loads((report / "report.json").read_text())["warnings"]
    failed, long, gone = warnings
    assert "1 run is left out" in failed and "bleu joint seed 0 (FAILED)" in failed
    assert "not at equal length" in gone and gone.endswith(": rouge staged.")
    assert "rouge staged (mean 103.5, 0 of 16 within 5)" in long


def test_every_summary_is_in_the_csv(report: Path) -> None:
    """6 runs of 8 posts, and 8 summaries before training; scores as they are."""
    with (report / "summaries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 6 * 8 + 8 == len(rows)
    (one,) = (
        r
        for r in rows
        if (r["configuration"], r["seed"], r["id"]) == ("rouge joint", "0", "post-2")
    )
    assert ("0.61", "2.44", "64", "summary 2") == (
        one["judge/coverage"],
        one["measure"],
        one["length"],
        one["summary"],
    )
    assert 8 == sum(row["configuration"] == "before training" for row in rows)


def test_the_page_needs_nothing_from_outside(report: Path) -> None:
    """No address is fetched: no source, style, font or script of elsewhere."""
    page = (report / "report.html").read_text()
    assert not re.search(r"""(src|href|action)\s*=\s*["'](?!#)""", page)
    assert "@import" not in page and "://" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "<image" not in page
    assert "prefers-color-scheme: dark" in page


def test_the_report_is_a_run_of_its_own_kind(
    multirun: Path, tracking: MlflowTracking, tmp_path: Path
) -> None:
    """Files and figures are its artifacts, the headline its tag; it is no run of the sweep. What
    an earlier report left in the folder is not of this one."""
    from mlflow import MlflowClient

    output = str(tmp_path / "report")
    (tmp_path / "report" / "figures").mkdir(parents=True)
    (tmp_path / "report" / "figures" / "old.svg").write_text("of an earlier report")
    make_report(ReportConfig(sweep="night", folder=str(multirun), output=output, tracking=tracking))
    client = MlflowClient(f"sqlite:///{tracking.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tersely")
    (run,) = client.search_runs([experiment.experiment_id])
    assert ("report", "FINISHED") == (run.data.tags["kind"], run.info.status)
    assert run.data.tags["headline"].startswith("Of 2 configurations")
    files = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"report.md", "report.html", "report.json", "summaries.csv", "figures"} == files
    pictures = {each.path for each in client.list_artifacts(run.info.run_id, "figures")}
    assert 10 == len(pictures) and "figures/old.svg" not in pictures


def test_without_length_only_the_baseline_is_the_policy_before_training(tmp_path: Path) -> None:
    """BETTER - 0.2 is 0.375 on average, times 4 is 1.5. One seed, so it says that too."""
    write_run(tmp_path / "a", BETTER, before=[0.2] * 8)
    runs = ReportConfig(
        runs=[str(tmp_path / "a")], output=str(tmp_path / "r"), tracking=NoTracking()
    )
    numbers = json.loads((make_report(runs) / "report.json").read_text())
    (only,) = numbers["against_baseline"]
    assert ("before training", False) == (only["b"], only["over_seeds"])
    assert 1.5 == pytest.approx(only["difference"])
    assert "differs from the policy before training in composite: +1.500" in numbers["headline"]
    assert "One seed a configuration" in numbers["headline"]
    assert any("one seed only" in warning for warning in numbers["warnings"])


def test_missing_verdicts_are_warned_of(tmp_path: Path) -> None:
    """They are paired out; the pass rate leaves their round out."""
    write_run(tmp_path / "a", [None, *BETTER[1:]])
    write_run(tmp_path / "b", BASE, reward="length")
    runs = [str(tmp_path / "a"), str(tmp_path / "b")]
    config = ReportConfig(runs=runs, output=str(tmp_path / "r"), tracking=NoTracking())
    numbers = json.loads((make_report(config) / "report.json").read_text())
    (only,) = numbers["against_baseline"]
    assert (7, 1) == (only["n"], only["missing"])
    assert any(
        w.startswith("rouge joint: 1 of 8 summaries have no comp") for w in numbers["warnings"]
    )


def test_runs_without_a_common_score_are_refused(tmp_path: Path) -> None:
    """A composite is not compared with ROUGE-L."""
    write_run(tmp_path / "a", BETTER)
    write_run(tmp_path / "b", BASE, reward="length", judged=False)
    runs = [str(tmp_path / "a"), str(tmp_path / "b")]
    config = ReportConfig(runs=runs, output=str(tmp_path / "r"), tracking=NoTracking())
    with pytest.raises(DataError, match="have no score in common"):
        make_report(config)


def test_where_a_report_goes(multirun: Path) -> None:
    """Beside the sweep's runs, the one on an evaluation by itself; else among the sweeps."""
    evaluated = ReportConfig(
        sweep="night", evaluation="test/plain", folder=str(multirun), tracking=NoTracking()
    )
    assert multirun / "night" / "report-test-plain" == report_folder(evaluated)
    published = ReportConfig(published=True, tracking=NoTracking())
    assert Path("multirun/reports/published") == report_folder(published)
    assert Path("x") == report_folder(ReportConfig(sweep="a", output="x", tracking=NoTracking()))


def test_a_wrong_name_leaves_no_folder(tmp_path: Path) -> None:
    """An empty report beside the others would look like one."""
    config = ReportConfig(sweep="nigth", folder=str(tmp_path), tracking=NoTracking())
    with pytest.raises(DataError):
        make_report(config)
    assert [] == list(tmp_path.iterdir())
