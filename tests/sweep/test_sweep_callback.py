"""The callback in a real Hydra application, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tersely
from tersely.sweep.names import SWEEP_VARIABLE
from tersely.sweep.result import read_results

APP = """
import logging
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from tersely.sweep import JobResult, job_slug, sweep_name
from tersely.tracking import MlflowTracking, NoTracking, TrackingConfig


@dataclass
class Choice:
    name: str = ""


@dataclass
class Config:
    reward: Choice = field(default_factory=Choice)
    strategy: Choice = field(default_factory=Choice)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 0
    model: Choice = field(default_factory=Choice)


store = ConfigStore.instance()
store.store(name="schema", node=Config)
store.store(group="tracking", name="mlflow", node=MlflowTracking)
store.store(group="tracking", name="none", node=NoTracking)
for name in ("rouge", "bleu", "broken", "raising"):
    store.store(group="reward", name=name, node=Choice(name))
store.store(group="model", name="tiny", node=Choice("tiny"))
for name in ("joint", "staged"):
    store.store(group="strategy", name=name, node=Choice(name))
OmegaConf.register_new_resolver("job_slug", job_slug)
OmegaConf.register_new_resolver("sweep_name", sweep_name)


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(tree):
    config, hydra_config = OmegaConf.to_object(tree), HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if config.reward.name == "raising":
        raise ValueError("let out")
    with config.tracking.build(folder, config.reward.name, {"sweep": sweep_name()}) as run:
        run.metrics({"reward/mean": 0.5}, step=1)
        run.metrics({"test/after/rouge_l": 0.25}, step=0)
    if config.reward.name == "broken":
        return  # as a main that holds an error back, and dies before it writes a result
    overrides = tuple(hydra_config.overrides.task)
    metrics = {"test/after/rouge_l": 0.25}
    JobResult(
        "FINISHED",
        overrides,
        config.reward.name,
        config.strategy.name,
        config.model.name,
        config.seed,
        run.run_id,
        metrics,
    ).write(folder)


main()
"""

CONFIG = """
defaults:
  - schema
  - reward: rouge
  - strategy: joint
  - model: tiny
  - tracking: none
  - _self_
hydra:
  sweep:
    dir: multirun/${sweep_name:}
    subdir: ${job_slug:${hydra.overrides.task}}
  callbacks:
    sweep:
      _target_: tersely.sweep.SweepCallback
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def start(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "app.py", *arguments]
    source = str(Path(tersely.__file__).parents[1])
    inherited = {key: value for key, value in os.environ.items() if key != SWEEP_VARIABLE}
    return subprocess.run(
        command,
        cwd=app,
        env={**inherited, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_sweep_with_failures_ends_with_its_report_and_exit_code_1(app: Path) -> None:
    """One job finishes, one ends without a result; both are in the report."""
    ended = start(app, "-m", "reward=rouge,broken", "tracking=none")
    assert 1 == ended.returncode, ended.stderr
    (report,) = app.glob("multirun/*/report.md")
    text = report.read_text(encoding="utf-8")
    assert text in ended.stdout
    assert "2 jobs, 1 failed." in text
    assert "- reward=broken tracking=none: ended without a result" in text
    assert re.search(r"\| rouge +\| joint +\| +0\.500 \| +- \| +0\.250 \|", text)
    assert "MLflow" not in text
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{3}", report.parent.name)
    assert {"reward=rouge,tracking=none", "reward=broken,tracking=none"} == {
        file.parent.name for file in report.parent.glob("*/result.json")
    }


def test_a_job_that_lets_its_exception_out_is_a_failed_job(app: Path) -> None:
    """Hydra ends such a sweep with exit code 1 and no report; the reason is on disk."""
    ended = start(app, "-m", "reward=raising", "hydra.sweep.dir=multirun/night")
    assert 1 == ended.returncode
    (result,) = read_results(app / "multirun" / "night")
    assert ("FAILED", "ValueError: let out") == (result.status, result.error)
    assert ("raising", "joint", "tiny") == (result.reward, result.strategy, result.model)


def test_a_sweep_in_mlflow_links_its_runs(app: Path) -> None:
    """The store is made before the first job; the page compares the runs of the sweep."""
    ended = start(app, "-m", "strategy=joint,staged", "tracking=mlflow")
    assert 0 == ended.returncode, ended.stderr
    (report,) = app.glob("multirun/*/report.md")
    ids = [result.run_id for result in read_results(report.parent)]
    listed = "%2C".join(f"%22{run_id}%22" for run_id in ids)
    text = report.read_text(encoding="utf-8")
    assert "2 jobs, all finished." in text
    assert f"#/compare-runs?runs=%5B{listed}%5D&experiments=%5B%221%22%5D&" in text
    store = f"--backend-store-uri sqlite:///{app}/mlruns/mlflow.db"
    assert f"-m mlflow ui --host 127.0.0.1 --workers 1 {store}" in text


def test_a_store_that_cannot_be_made_stops_the_sweep_before_its_jobs(app: Path) -> None:
    """One paragraph, exit code 2, no traceback, no job folder."""
    (app / "mlruns").write_text("in the way")
    ended = start(app, "-m", "strategy=joint,staged", "tracking=mlflow")
    assert 2 == ended.returncode
    assert "set tracking.folder=FOLDER" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert not (app / "multirun").exists()


def test_a_single_run_has_no_report(app: Path) -> None:
    """The callback is for sweeps."""
    ended = start(app, "tracking=none", "hydra.run.dir=out")
    assert 0 == ended.returncode, ended.stderr
    assert not (app / "multirun").exists()
    assert "Sweep" not in ended.stdout
