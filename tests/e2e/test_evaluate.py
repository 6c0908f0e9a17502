"""`python evaluate.py`, as a person types it, on a small run of the embedded model."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import command, mlflow_runs

SMALL = ("rollout.group_size=4", "rollout.max_tokens=72", "trainer.prompts_per_step=2",
         "trainer.steps=1", "data.train=8", "data.validation=4", "data.test=5")  # fmt: skip
SMALL_DATA = ("data.train=1", "data.validation=1", "data.test=3")


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    lines = (folder / "tables" / f"{table}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where a run was started, and its folder, which has a sweep's name."""
    start = tmp_path_factory.mktemp("start")
    folder = start / "multirun" / "reward=rouge,seed=0"
    command("train.py", start, *SMALL, f"hydra.run.dir='{folder}'")
    return start, folder


def test_training_ends_with_the_judge(trained: tuple[Path, Path]) -> None:
    """Four metrics a summary, a verdict each, and the means beside the other scores."""
    _, folder = trained
    found = json.loads((folder / "result.json").read_text())["metrics"]
    table, verdicts = rows(folder, "summaries_after"), rows(folder, "verdicts_test")
    assert 5 == len(table)
    assert 4 * 5 == len(verdicts)
    assert all(row["fact_coverage"] == row["judge/coverage"] for row in table)
    assert found["test/after/fact_coverage"] == pytest.approx(found["test/after/judge/coverage"])
    assert {"test/after/judge/composite_sum", "test/after/judge/pass_rate"} <= set(found)
    assert not [key for key in found if key.startswith("test/before/judge")]


def test_a_run_is_evaluated_as_it_was_trained(trained: tuple[Path, Path]) -> None:
    """By its folder: the same data, prompt and limits, so the scores are those after training.
    They join the run in its folder and in the store."""
    start, folder = trained
    said = command("evaluate.py", start, f"run={folder}")
    assert "composite, 0 to 4" in said
    run = mlflow_runs(start)[0]
    after = {k: v for k, v in run.data.metrics.items() if k.startswith("test/after/")}
    assert after == {
        key.replace("eval/test/plain/", "test/after/"): value
        for key, value in run.data.metrics.items()
        if key.startswith("eval/test/plain/")
    }
    assert "FINISHED" == run.info.status
    name = "eval/test/plain"
    assert [row["summary"] for row in rows(folder, "summaries_after")] == [
        row["summary"] for row in rows(folder, f"{name}/summaries")
    ]
    assert 4 * 5 == len(rows(folder, f"{name}/verdicts"))


def test_a_run_is_sampled_with_another_prompt(trained: tuple[Path, Path]) -> None:
    """By its id: two summaries of each post, and the same ones from the same seed."""
    start, folder = trained
    asked = ("prompt=fifty_words", "decoding.temperature=1", "decoding.samples=2", "judge=none")
    run_id = mlflow_runs(start)[0].info.run_id
    tables = []
    for seed in (1, 1):
        command("evaluate.py", start, f"run={run_id}", *asked, f"seed={seed}")
        tables.append(rows(folder, "eval/test/fifty_words/temperature_1/summaries"))
    assert 2 * 5 == len(tables[0])
    assert [0, 1] * 5 == [row["sample"] for row in tables[0]]
    texts = [[row["summary"] for row in table] for table in tables]
    assert texts[0] == texts[1]


def test_prompts_of_a_model_as_it_is_make_runs_of_their_own(tmp_path: Path) -> None:
    """A sweep of two, with a table; data and choices are kept with each."""
    said = command("evaluate.py", tmp_path, "-m", "model=tiny", "prompt=plain,fifty_words",
                   *SMALL_DATA)  # fmt: skip
    found = {run.data.params["prompt"]: run for run in mlflow_runs(tmp_path)}
    assert {"plain", "fifty_words"} == set(found)
    for prompt, run in found.items():
        assert ("evaluation", "FINISHED") == (run.data.tags["kind"], run.info.status)
        assert f"eval/test/{prompt}/rouge_l" in run.data.metrics
        assert ("tiny", "test") == (run.data.params["model"], run.data.params["split"])
        assert run.data.tags["data_fingerprint"]
        assert 3 == len(rows(Path(run.data.tags["folder"]), f"eval/test/{prompt}/summaries"))
    assert "| fifty_words |" in said
    (report,) = (tmp_path / "multirun").glob("*/report.md")
    assert report.read_text() in said


def test_a_failing_evaluation_of_a_sweep_fails_alone(tmp_path: Path) -> None:
    said = command("evaluate.py", tmp_path, "-m", "model=tiny", "tracking=none",
                   "decoding.max_tokens=72,9999", *SMALL_DATA, code=1)  # fmt: skip
    assert "2 jobs, 1 failed." in said
    assert "decoding.max_tokens=9999 need" in said


def test_a_folder_is_added_to_without_a_store(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """From anywhere, a checkpoint's own run included."""
    _, folder = trained
    command("evaluate.py", tmp_path, f"run={folder}", "tracking=none", "split=validation")
    assert 4 == len(rows(folder, "eval/validation/plain/summaries"))
    config = folder / "artifacts" / "eval" / "validation" / "plain" / "config.yaml"
    assert "split: validation" in config.read_text()
    assert not (tmp_path / "mlruns").exists()


def test_a_checkpoint_is_evaluated_by_itself(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, folder = trained
    final = folder / "checkpoints" / "final"
    command("evaluate.py", tmp_path, f"checkpoint={final}", "tracking=none", "judge=none",
            "hydra.run.dir=out", *SMALL_DATA)  # fmt: skip
    tags = json.loads((tmp_path / "out" / "tags.json").read_text())
    assert str(final) == tags["checkpoint"]
    assert 3 == len(rows(tmp_path / "out", "eval/test/plain/summaries"))
    assert not (tmp_path / "out" / "tables" / "eval" / "test" / "plain" / "verdicts.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "one of run=ID_OR_FOLDER, checkpoint=FOLDER and model=CHOICE"),
        (("run=nothing", "tracking=none"), "give the folder that a run named at its end"),
        (("model=tiny", "decoding.samples=3"), "decoding.temperature=1"),
        (("model=tiny", "data.tset=3"), "Did you mean data.test?"),
        (("model=none",), "lfm2_5_350m, local, qwen2_5_0_5b, tiny"),
    ],
)
def test_a_mistake_is_one_paragraph(
    tmp_path: Path, arguments: tuple[str, ...], remedy: str
) -> None:
    """What is wrong and what to set; exit code 2 and no traceback."""
    said = command("evaluate.py", tmp_path, *arguments, code=2)
    assert "Traceback" not in said
    assert remedy in " ".join(said.split())
    assert not (tmp_path / "mlruns").exists()
