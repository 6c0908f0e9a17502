"""What readers are warned of."""

import json
from collections.abc import Sequence
from pathlib import Path

from written_runs import write_run

from tersely.analysis.cautions import cautions
from tersely.analysis.results import Results, analyse
from tersely.analysis.runs import read_run

SCORES = [0.5, 0.6, 0.7]


def results(folders: Sequence[Path]) -> Results:
    return analyse([read_run(folder) for folder in folders], None)


def test_nothing_is_said_of_runs_that_give_no_cause(tmp_path: Path) -> None:
    """Two seeds, within budget, judged by one judge, on the same posts."""
    for seed in (0, 1):
        write_run(tmp_path / f"r{seed}", SCORES, seed=seed)
        write_run(tmp_path / f"l{seed}", SCORES, reward="length", seed=seed)
    assert [] == cautions(results(sorted(tmp_path.iterdir())))


def test_different_posts_versions_and_seeds_are_named(tmp_path: Path) -> None:
    """In the order of their gravity."""
    write_run(tmp_path / "r", SCORES, tags={"code_version": "a"})
    write_run(tmp_path / "l", SCORES[:2], reward="length", tags={"code_version": "b"})
    versions, posts, seeds = cautions(results([tmp_path / "r", tmp_path / "l"]))
    assert "2 versions of the code" in versions
    assert "2 of up to 3 are common" in posts
    assert seeds.startswith("All configurations have one seed only.")


def test_a_single_run_with_other_posts_is_named(tmp_path: Path) -> None:
    """Though its configuration has a run with all of them."""
    for seed, scores in enumerate((SCORES, SCORES[:2])):
        write_run(tmp_path / f"r{seed}", scores, seed=seed)
        write_run(tmp_path / f"l{seed}", SCORES, reward="length", seed=seed)
    (said,) = cautions(results(sorted(tmp_path.iterdir())))
    assert "2 of up to 3 are common" in said


def test_a_repetition_is_named(tmp_path: Path) -> None:
    """It is no second seed."""
    write_run(tmp_path / "a", SCORES, before=SCORES)
    write_run(tmp_path / "b", SCORES, before=SCORES)
    said = cautions(results([tmp_path / "a", tmp_path / "b"]))
    assert "1 run is left out because a later one has the same configuration" in said[0]


def test_several_judges_are_named(tmp_path: Path) -> None:
    """One that is kinder would decide the comparison."""
    write_run(tmp_path / "r", SCORES)
    write_run(tmp_path / "l", SCORES, reward="length")
    table = tmp_path / "l" / "tables" / "verdicts_test.jsonl"
    table.write_text(table.read_text().replace("chosen", "another"))
    said = cautions(results([tmp_path / "r", tmp_path / "l"]))
    assert any("of 2 judges (another, chosen)" in warning for warning in said)


def with_rouge(table: Path, *, judged: bool = True) -> None:
    """ROUGE-L beside the judged scores, or in their place, as the tables of real runs have it."""
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    kept = [{k: v for k, v in row.items() if judged or "judge/" not in k} for row in rows]
    lines = [json.dumps(row | {"rouge_l": 0.3}) for row in kept]
    table.write_text("\n".join(lines) + "\n")


def test_a_baseline_before_training_is_named_where_it_decides_the_measure(tmp_path: Path) -> None:
    """It is never judged, though every run was; a run with reward=length mends that."""
    for reward in ("rouge", "length"):
        tables = tmp_path / reward / "tables"
        write_run(tmp_path / reward, SCORES, reward=reward, before=SCORES)
        with_rouge(tables / "summaries_before.jsonl", judged=False)
        with_rouge(tables / "summaries_after.jsonl")
    said = cautions(results([tmp_path / "rouge"]))
    assert said[0].startswith("The baseline is the policy before training, for there is no run")
    assert "Add runs with reward=length, or set baseline=." in said[0]
    said = cautions(results([tmp_path / "rouge", tmp_path / "length"]))
    assert not any("judged" in warning for warning in said)


def test_a_run_that_was_not_judged_is_named_where_it_decides_the_measure(tmp_path: Path) -> None:
    for reward in ("rouge", "length"):
        write_run(tmp_path / reward, SCORES, reward=reward, judged=reward == "rouge")
        with_rouge(tmp_path / reward / "tables" / "summaries_after.jsonl")
    said = cautions(results([tmp_path / "rouge", tmp_path / "length"]))
    assert any(each.startswith("Not everything that is compared was judged") for each in said)


def test_rouge_as_a_measure_of_rouge_is_named(tmp_path: Path) -> None:
    """Where nothing was judged and no facts are known."""
    write_run(tmp_path / "r", SCORES, judged=False)
    write_run(tmp_path / "l", SCORES, reward="length", judged=False)
    said = cautions(results([tmp_path / "r", tmp_path / "l"]))
    assert any(warning.startswith("Nothing was judged") for warning in said)
    assert any("rewarded by ROUGE-L has an advantage" in warning for warning in said)


def test_what_is_gone_at_equal_length_is_named(tmp_path: Path) -> None:
    """Scores that are 0.01 a token longer, and nothing else: d = 0.01 (L - 64)."""
    lengths = [64, 66, 68, 70, 72, 74, 76, 78]
    write_run(
        tmp_path / "r",
        [0.5 + 0.01 * (length - 64) for length in lengths],
        lengths=lengths,
    )
    write_run(tmp_path / "l", [0.5] * 8, reward="length")
    said = cautions(results([tmp_path / "r", tmp_path / "l"]))
    assert any("not at equal length" in w and "rouge joint" in w for w in said)


def test_a_missing_verdict_beside_others_is_named(tmp_path: Path) -> None:
    """Two rounds of three posts, 24 verdicts. One of them is missing, so one of 6 rounds is; the
    summary's mean over the other round is there all the same."""
    write_run(tmp_path / "r", SCORES)
    write_run(tmp_path / "l", SCORES, reward="length")
    table = tmp_path / "r" / "tables" / "verdicts_test.jsonl"
    first = [json.loads(line) for line in table.read_text().splitlines()]
    rows = [*first, *({**row, "round": 1} for row in first)]
    rows[0] |= {"score": None, "reason": "no number in the answer"}
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))

    found = results([tmp_path / "r", tmp_path / "l"])

    (said,) = (warning for warning in cautions(found) if "verdicts" in warning)
    assert said.startswith(
        "rouge joint: 1 of 24 verdicts are missing (no number in the answer, 1 times). 1 of 6 "
        "rounds are left out of the pass rate"
    )
    assert 5 == found.pass_rates["rouge joint"].rounds


def test_a_model_without_a_baseline_is_named(tmp_path: Path) -> None:
    """It has only its summaries before training, which nothing judged: it neither joins the
    family of the other model nor takes the judged measure from it."""
    write_run(tmp_path / "l", SCORES, reward="length")
    write_run(tmp_path / "r", SCORES)
    write_run(tmp_path / "o", SCORES, model="other", before=SCORES)
    table = tmp_path / "o" / "tables" / "summaries_before.jsonl"
    table.write_text(table.read_text().replace("judge/", "no/"))
    found = results([tmp_path / "l", tmp_path / "r", tmp_path / "o"])
    assert "composite" == found.measure.name
    assert [("tiny \u00b7 rouge joint", "tiny \u00b7 length joint")] == [
        (each.a, each.b) for each in found.against_baseline
    ]
    (said,) = (warning for warning in cautions(found) if "Compared with nothing" in warning)
    assert "same model: other \u00b7 rouge joint. Add" in said
