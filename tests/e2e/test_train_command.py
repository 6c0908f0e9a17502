"""`python train.py`, as a person types it, on the embedded model and small data."""

import json
from functools import partial
from pathlib import Path

import pytest
from commands import command, mlflow_runs
from docs.workplace import Workplace

ROOT = Path(__file__).parents[2]
REDDIT = ROOT.parent / "shared" / "data" / "reddit_tifu"
train = partial(command, "train.py")
SMALL = ("rollout.group_size=4", "rollout.max_tokens=72", "trainer.prompts_per_step=2")
SMALL_DATA = ("data.train=24", "data.validation=4", "data.test=6")


@pytest.fixture
def sweep(workplace: Workplace) -> tuple[Path, str]:
    """Where the README's sweep was started, two steps a stage, and what it said."""
    folder, said = workplace.sweep
    return folder.parents[1], said


def test_a_sweep_leaves_six_finished_flat_runs(sweep: tuple[Path, str]) -> None:
    """Each has its choices as parameters, its numbers as metrics and the sweep as a tag."""
    folder, _ = sweep
    runs = mlflow_runs(folder)
    assert ["FINISHED"] * 6 == [run.info.status for run in runs]
    chosen = {(run.data.params["reward"], run.data.params["strategy"]) for run in runs}
    assert {(r, s) for r in ("rouge", "meteor", "bleu") for s in ("joint", "staged")} == chosen
    assert len({run.data.tags["sweep"] for run in runs}) == 1
    assert not any("mlflow.parentRunId" in run.data.tags for run in runs)
    for run in runs:
        assert {"test/before/rouge_l", "test/after/fact_coverage", "reward/mean"} <= set(
            run.data.metrics
        )


def test_a_sweep_trains_the_length_stage_once(sweep: tuple[Path, str]) -> None:
    """Three staged jobs share one checkpoint; one of them trained it."""
    folder, _ = sweep
    staged = [run for run in mlflow_runs(folder) if run.data.params["strategy"] == "staged"]
    trained = [run.data.tags["shared_stage_trained_here"] for run in staged]
    assert ["false", "false", "true"] == sorted(trained)
    assert len(list((folder / "mlruns" / "stages").glob("*/model.safetensors"))) == 1


def test_a_sweep_ends_with_a_table_and_a_link(sweep: tuple[Path, str]) -> None:
    """The report is printed, and stands in the sweep's folder."""
    folder, said = sweep
    (report,) = (folder / "multirun").glob("*/report.md")
    text = report.read_text()
    assert text.strip() in said
    for name in ("rouge", "meteor", "bleu", "joint", "staged", "ROUGE-L", "compare-runs"):
        assert name in text


def test_a_run_keeps_everything_it_can_be_read_back_by(sweep: tuple[Path, str]) -> None:
    """Config, environment, curves, every summary with its scores, and a checkpoint."""
    folder, _ = sweep
    run = next(run for run in mlflow_runs(folder) if run.data.params["strategy"] == "joint")
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*")}
    assert {
        "config.yaml",
        "environment.json",
        "tables/summaries_before.json",
        "tables/summaries_after.json",
        "curves/reward.png",
        "curves/length.png",
        "checkpoints/final/model.safetensors",
        "checkpoints/final/config.json",
    } <= files
    table = json.loads((artifacts / "tables" / "summaries_after.json").read_text())
    assert len(table["data"]) == 2
    assert {"post", "summary", "reference", "rouge_l", "fact_coverage"} <= set(table["columns"])
    assert run.data.tags["data_fingerprint"]


def test_one_failing_job_fails_alone(tmp_path: Path) -> None:
    """The others finish, the failed one is marked and named, and the exit code is 1."""
    said = train(
        tmp_path,
        "-m",
        "rollout.max_tokens=72,60",
        "trainer.steps=1",
        "rollout.group_size=2",
        *SMALL_DATA,
        code=1,
    )
    assert {"FINISHED", "FAILED"} == {run.info.status for run in mlflow_runs(tmp_path)}
    assert "length.target=64 cannot be reached" in said
    (report,) = (tmp_path / "multirun").glob("*/report.md")
    assert "length.target=64 cannot be reached" in report.read_text()


def test_the_same_command_gives_the_same_weights(tmp_path: Path) -> None:
    """Bit for bit, with rollouts sampled beside the update."""
    weights = []
    for name in ("first", "second"):
        train(
            tmp_path,
            "tracking=none",
            "trainer.steps=3",
            f"hydra.run.dir={name}",
            *SMALL,
            *SMALL_DATA,
        )
        weights.append((tmp_path / name / "checkpoints/final/model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.skipif(not REDDIT.is_dir(), reason=f"real posts are not at {REDDIT}")
def test_it_runs_on_real_posts(tmp_path: Path) -> None:
    """Long posts are counted, not cut, and facts are not scored where none are known."""
    train(tmp_path, "data=jsonl", f"data.path={REDDIT}", "prompt.max_tokens=900",
          "trainer.steps=1", "tracking=none", "hydra.run.dir=run", *SMALL)  # fmt: skip
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "FINISHED"
    assert "test/after/rouge_l" in result["metrics"]
    assert "test/after/fact_coverage" not in result["metrics"]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("reward=rough",), "bleu, bleu_rouge"),
        (("trainer.stepz=3",), "Did you mean trainer.steps?"),
        (("trainer.steps=many",), "could not be converted to Integer"),
        (("data=jsonl",), "data.path=FOLDER"),
        (("model=local", "model.path=/nowhere"), "/nowhere/config.json"),
        (("length.target=200",), "rollout.max_tokens"),
        (("rollout.group_size=1",), "rollout.group_size must be at least 2"),
    ],
)
def test_a_mistake_is_one_paragraph(
    tmp_path: Path, arguments: tuple[str, ...], remedy: str
) -> None:
    """What is wrong and what to set; exit code 2 and no traceback."""
    said = train(tmp_path, "tracking=none", *arguments, code=2)
    assert "Traceback" not in said
    assert remedy in " ".join(said.split())


def test_the_help_names_every_group(tmp_path: Path) -> None:
    """A line each, with the choices."""
    said = train(tmp_path, "--help")
    for line in ("model ", "reward ", "strategy ", "tracking ", "rollout "):
        assert f"\n  {line}" in said
    assert "meteor_rouge" in said
