"""What is refused, in which words, and how train.py says so."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import tersely
from tersely.config import GROUPS, TRAIN, load
from tersely.errors import ConfigError
from tersely.launch import paragraph
from tersely.objective.aggregation import Aggregation
from tersely.training.config import Precision, Schedule

ROOT = Path(__file__).parents[2]
SOURCES = str(Path(tersely.__file__).parents[1])
HEAVY = {
    "datasets",
    "matplotlib",
    "mlflow",
    "mlx",
    "mlx_lm",
    "nltk",
    "numpy",
    "pandas",
    "rapidfuzz",
    "rouge_score",
    "transformers",
}

Composed = Callable[..., DictConfig]

COMPOSITION = {
    # a misspelt key, with the likely one
    "trainer.stepz=3": ["trainer.stepz", "TrainerConfig", "Did you mean trainer.steps?"],
    "lenght.target=3": ["lenght.target", "Did you mean length.target?"],
    # a key of another choice
    "model.path=folder": ["model.path", "It is a key of model=local."],
    "data.path=folder": ["data.path", "It is a key of data=jsonl, data=smoltldr."],
    # a wrong choice, with the choices there are
    "reward=rogue": ["reward/rogue", "bleu, bleu_rouge, ", "rouge."],
    "experiment=mine": ["experiment/mine", "miniature_sound, miniature_study, sound, study"],
    # a wrong type
    "trainer.steps=many": ["trainer.steps=many", "'many'", "Integer"],
    "loss.clip_low=high": ["loss.clip_low=high", "'high'", "Float"],
    "seed=1.5": ["seed=1.5", "Integer"],
    "seed=null": ["seed=null", "not Optional"],
    "reward.meteor_matching=exact": ["'exact'", "[wordnet, exact_and_stem]"],
    "loss.aggregation=mean": ["'mean'", "[sequence_mean, token_mean, constant]"],
    "trainer.schedule=step": ["'step'", "[constant, linear, cosine]"],
    "trainer.precision=fp16": ["'fp16'", "[fp32, bf16_master, bf16_stochastic, bf16]"],
    "trainer.inner_updates=1.5": ["trainer.inner_updates=1.5", "Integer"],
    "trainer.chunk=4": ["trainer.chunk", "TrainerConfig"],
    # a slip of the pen
    "length.target=[64": ["no viable alternative at input '[64'"],
    "reward=rouge,bleu": ["Ambiguous value", "add --multirun"],
    "+experiment=study": ["Multiple values for experiment", "Write it without the +."],
}


@pytest.mark.parametrize("override", COMPOSITION)
def test_what_does_not_compose_is_said_in_one_short_paragraph(
    override: str, composed: Composed
) -> None:
    """Key, value and remedy; nothing of Hydra's search path and object types."""
    with pytest.raises(Exception) as caught:
        composed(override)

    said = paragraph(caught.value)
    flat = " ".join(said.split())
    for part in COMPOSITION[override]:
        assert part in flat
    assert said.startswith("\nError: ")
    assert "\n\n" not in said.strip()
    assert len(flat) < 320
    assert max(map(len, said.splitlines())) <= 96
    for noise in ("search path", "full_key", "object_type", "provider=", "Traceback"):
        assert noise not in said


REFUSED = {
    # keys that OmegaConf would drop in silence
    ("+reward.foo=1",): "nothing reads reward.foo: no such key exists",
    ("++loss.clip=0.1", "+strateg=joint"): "nothing reads loss.clip, strateg: no such key",
    ("+length.more.deep=3",): "nothing reads length.more.deep:",
    # values that have to be given
    ("model=local",): "model.path is not set; set model.path=FOLDER",
    ("data=jsonl",): "data.path is not set; set data.path=FOLDER",
    ("~advantage",): "advantage has to be given",
    # values that a choice refuses
    (
        "trainer.epochs=1",
    ): "exactly one of trainer.steps and trainer.epochs must be set, got steps=",
    ("trainer.steps=null",): "must be set, got steps=None and epochs=None",
    ("trainer.steps=0",): "trainer.steps must be at least 1, got 0",
    ("trainer.inner_updates=0",): "trainer.inner_updates must be at least 1, got 0",
    ("trainer.mini_batches=3",): "trainer.prompts_per_step=4 prompts cannot be split into "
    "trainer.mini_batches=3 equal parts; set a divisor",
    ("trainer.rollouts_per_chunk=0",): "trainer.rollouts_per_chunk must be at least 1, got 0",
    ("trainer.vocabulary_per_chunk=0",): "trainer.vocabulary_per_chunk must be at least 1, got 0",
    ("trainer.memory_limit_gb=0",): "trainer.memory_limit_gb must be above 0, got 0",
    ("trainer.warmup_updates=-1",): "trainer.warmup_updates must be at least 0, got -1",
    ("trainer.max_skipped_updates=-1",): "trainer.max_skipped_updates must be at least 0, got -1",
    ("loss.clip_high=0",): "loss.clip_high must be above 0, got 0",
    ("rollout.group_size=1",): "rollout.group_size must be at least 2, got 1",
    ("rollout.temperature=0",): "rollout.temperature must be above 0, got 0",
    ("length.target=0",): "length.target must be at least 1, got 0",
    ("length.weight=-1",): "length.weight must be a finite number above 0, got -1",
    ("loss.clip_low=1",): "loss.clip_low must lie in (0, 1), got 1",
    ("loss.beta=-1",): "loss.beta must be 0 or more, got -1",
    ("advantage.epsilon=0",): "advantage.epsilon must be above 0, got 0",
    ("tracking.folder=",): "tracking.folder must name a folder",
    ("tracking.store=files",): "tracking.store must begin with sqlite:/// or http",
    ("length.target=${nothing}",): "'nothing' not found",
}


@pytest.mark.parametrize("overrides", REFUSED, ids=" ".join)
def test_what_cannot_be_meant_is_refused_when_it_is_loaded(
    overrides: tuple[str, ...], composed: Composed
) -> None:
    """By name, in one sentence, before anything is computed."""
    with pytest.raises(ConfigError) as caught:
        load(composed(*overrides))
    assert REFUSED[overrides] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_and_blanks_become_what_they_stand_for(composed: Composed) -> None:
    """A choice by its name, and null for what the machine decides."""
    config = load(
        composed(
            "loss.aggregation=token_mean",
            "trainer.schedule=cosine",
            "trainer.precision=bf16_master",
            "trainer.memory_limit_gb=2",
            "trainer.rollouts_per_chunk=null",
        )
    )
    assert Aggregation.token_mean is config.loss.aggregation
    assert Schedule.cosine is config.trainer.schedule
    assert Precision.bf16_master is config.trainer.precision
    assert (2.0, None) == (config.trainer.memory_limit_gb, config.trainer.rollouts_per_chunk)


def test_an_added_key_that_exists_is_not_refused(composed: Composed) -> None:
    assert 3 == load(composed("++trainer.steps=3")).trainer.steps


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("length.target=192",), "length.target=192 cannot be reached: .*max_tokens=192"),
        (("reward=length", "strategy=staged"), "strategy=staged needs a quality reward"),
        (("loss=study", "correction=tis"), "loss=study knows nothing of the sampler"),
        (("loss=study", "trainer.mini_batches=2"), "loss=study makes one update a step"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_before_data_is_made(
    overrides: tuple[str, ...], said: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """192 tokens with the end of turn leave room for 191 of a summary."""
    from tersely.data.generated import GeneratedConfig
    from tersely.prepared import prepare

    monkeypatch.delattr(GeneratedConfig, "build")
    with pytest.raises(ConfigError, match=said):
        prepare(load(composed(*overrides)))


def test_a_warm_up_that_no_stage_reaches_the_end_of_is_refused_before_it_costs(
    composed: Composed,
) -> None:
    """3 steps of 2 updates are 6; the test split has not been scored yet."""
    from tersely.prepared import prepare

    steps = ("trainer.steps=3", "trainer.mini_batches=2")
    prepare(load(composed(*steps, "trainer.warmup_updates=6")))
    with pytest.raises(ConfigError, match="warmup_updates=7 is longer than a stage of 6 updates"):
        prepare(load(composed(*steps, "trainer.warmup_updates=7")))


def test_prompts_that_a_runs_own_server_has_no_room_for_are_refused_before_it_starts(
    composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 positions less 192 of a completion; there is no vLLM here to look for."""
    from tersely.prepared import prepare
    from tersely.rollout.vllm.config import VllmLocalConfig

    monkeypatch.setattr(VllmLocalConfig, "check", lambda self, tuning: None)
    overrides = ("rollout=vllm_local", "rollout.max_tokens=192", "rollout.context=200")
    with pytest.raises(ConfigError, match=r"started with 200; set rollout\.context="):
        prepare(load(composed(*overrides)))


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": SOURCES}
    environment.pop("HYDRA_FULL_ERROR", None)
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job", "reward=bleu"]])
def test_help_and_cfg_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """That is what makes them answer in under a second."""
    code = f"""
import json, runpy, sys
sys.argv = ["train.py", *{arguments!r}]
try:
    runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
finally:
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""
    done = python(tmp_path, "-c", code)
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert 0 == done.returncode
    assert "tersely" in imported
    assert set() == HEAVY & imported
    assert [] == list(tmp_path.iterdir())


def test_help_has_a_line_for_each_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its meaning and its choices, and how to see and set the rest."""
    monkeypatch.chdir(tmp_path)  # where files are is said from there
    for flag in ("--help", "-h"):
        done = python(tmp_path, str(ROOT / "train.py"), flag)
        assert (0, "") == (done.returncode, done.stderr)
        assert TRAIN.help_text().strip() == done.stdout.strip()
    for name, group in GROUPS.items():
        line = f" {name} {group.meaning}: {' '.join(group.choices)} "
        assert line in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "python train.py --cfg job" in done.stdout


def test_cfg_job_shows_the_run(tmp_path: Path) -> None:
    done = python(tmp_path, str(ROOT / "train.py"), "--cfg", "job", "length.target=48")
    assert (0, "") == (done.returncode, done.stderr)
    assert "target: 48" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["reward=rogue"],
        ["trainer.stepz=3"],
        ["tracking=null"],
        ["~advantage"],
        ["rollout.group_size=1"],
        ["length.target=${nothing}"],
        ["-m", "strategy=joint,stagged", "tracking=none"],
    ],
    ids=" ".join,
)
def test_a_mistake_ends_in_a_paragraph_and_code_2(arguments: list[str], tmp_path: Path) -> None:
    """Without a traceback, on standard error, and without Hydra's own comment; nothing is begun,
    not even the jobs of a sweep that are spelt rightly."""
    done = python(
        tmp_path,
        str(ROOT / "train.py"),
        *arguments,
        "tracking.folder=kept",
        "hydra.run.dir=out",
        "hydra.sweep.dir=out",
    )
    assert 2 == done.returncode
    assert "" == done.stdout
    assert done.stderr.startswith("\nError: ")
    assert "\n\n" not in done.stderr.strip()
    assert not (tmp_path / "kept").exists()
    assert not list(tmp_path.rglob("metrics*"))


def test_who_asks_for_it_gets_the_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "rollout.group_size=1", "hydra.run.dir=out"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": SOURCES, "HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 1 == done.returncode
    assert "Traceback" in done.stderr
    assert "ConfigError: rollout.group_size" in done.stderr
