"""What `evaluate.py` composes, takes over from a run, and refuses."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tersely.config import load_for, register
from tersely.data.generated import GeneratedConfig
from tersely.data.jsonl import JsonlConfig
from tersely.data.prompts import FiftyWordsPrompt, PlainPrompt
from tersely.errors import ConfigError
from tersely.evaluation_config import (
    EVALUATE,
    Evaluation,
    evaluation_name,
    policy_name,
    with_values_of,
)
from tersely.launch import paragraph
from tersely.policy.load import LocalModelConfig
from tersely.rewards.matching import Matching

ROOT = Path(__file__).parents[2]
HEAVY = {"deepeval", "matplotlib", "mlflow", "mlx", "nltk", "numpy", "openai", "scipy"}

RUN = """
data: {path: posts}
prompt: {system: Be short., max_tokens: 100}
rollout: {max_tokens: 192, group_size: 8}
length: {target: 48, weight: 1.0}
reward: {meteor_matching: exact_and_stem, bleu_smooth: false, rouge_weight: 1.0}
"""
"""What a run's config.yaml says, in short."""
CHOICES = {"model": "tiny", "data": "jsonl", "prompt": "fifty_words", "seed": "0"}

Composed = Callable[..., DictConfig]


@pytest.fixture
def composed() -> Iterator[Composed]:
    register(EVALUATE)
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        yield lambda *overrides: compose("evaluate", overrides=list(overrides))


@pytest.fixture
def joined(composed: Composed) -> Callable[..., Evaluation]:
    """Overrides to an evaluation of the run above."""

    def load(*overrides: str) -> Evaluation:
        tree = composed("run=abc", *overrides)
        return load_for(EVALUATE, with_values_of(RUN, CHOICES, tree, overrides))

    return load


@pytest.mark.parametrize("group", EVALUATE.groups)
def test_the_default_of_a_group_is_its_first_choice(group: str) -> None:
    """But for the model: whose summaries they are has to be said."""
    defaults: dict[str, str | None] = {}
    for entry in OmegaConf.load(ROOT / "conf" / "evaluate.yaml").defaults:
        if isinstance(entry, DictConfig):
            defaults |= dict(entry)  # type: ignore[arg-type]
    first = None if group == "model" else next(iter(EVALUATE.groups[group].choices))
    assert first == defaults[group]


def test_a_run_brings_data_prompt_and_measures(joined: Callable[..., Evaluation]) -> None:
    config = joined()
    assert JsonlConfig("posts") == config.data
    assert FiftyWordsPrompt("Be short.", 100) == config.prompt
    assert (192, 48) == (config.decoding.max_tokens, config.measure.target)
    assert (Matching.exact_and_stem, False) == (
        config.measure.meteor_matching,
        config.measure.bleu_smooth,
    )


def test_a_group_that_is_chosen_anew_is_taken_whole(joined: Callable[..., Evaluation]) -> None:
    config = joined("data=generated", "data.test=7", "prompt=plain")
    assert GeneratedConfig(test=7) == config.data
    assert PlainPrompt() == config.prompt
    assert 48 == config.measure.target


def test_a_value_that_is_set_changes_nothing_beside_it(joined: Callable[..., Evaluation]) -> None:
    config = joined("prompt.max_tokens=200", "decoding.max_tokens=64", "measure.target=32")
    assert FiftyWordsPrompt("Be short.", 200) == config.prompt
    assert JsonlConfig("posts") == config.data
    assert (64, 32) == (config.decoding.max_tokens, config.measure.target)


def test_a_key_that_the_runs_choice_does_not_have_is_refused(
    joined: Callable[..., Evaluation],
) -> None:
    """data.test is a key of the data that evaluate.py would take by itself."""
    with pytest.raises(ConfigError, match="data=CHOICE"):
        joined("data.test=7")


@pytest.mark.parametrize(
    "choices", [{**CHOICES, "data": "gone"}, {"data": "generated", "prompt": "plain"}, {}]
)
def test_a_run_of_other_code_is_refused(choices: dict[str, str], composed: Composed) -> None:
    """A choice that is no more, values that no choice has, no choices at all."""
    with pytest.raises(ConfigError, match="the run's own configuration does not fit"):
        with_values_of(RUN, choices, composed("run=abc"), ())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "none of them is given"),
        (("run=abc", "model=tiny"), "run and model are given"),
        (("run=abc", "checkpoint=/nowhere"), "run and checkpoint are given"),
        (("checkpoint=/nowhere",), "there is no /nowhere/config.json"),
        (("run=abc", "name=../x"), "cannot be a part of a metric's name"),
        (("run=abc", "name=a=b"), "cannot be a part of a metric's name"),
        (("run=abc", "name=''"), "cannot be a part of a metric's name"),
    ],
)
def test_what_is_not_an_evaluation_is_refused(
    overrides: tuple[str, ...], said: str, composed: Composed
) -> None:
    quoted = [text.replace("a=b", "'a=b'") for text in overrides]
    with pytest.raises(ConfigError, match=said):
        load_for(EVALUATE, composed(*quoted))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("decoding.sample=3", "Did you mean decoding.samples?"),
        ("measure.tarjet=3", "Did you mean measure.target?"),
        ("splitt=test", "Did you mean split?"),
        ("data.path=x", "It is a key of data=jsonl, data=smoltldr."),
        ("split=dev", "expected one of [train, validation, test]"),
    ],
)
def test_a_slip_is_answered_with_the_remedy(override: str, said: str, composed: Composed) -> None:
    with pytest.raises(Exception) as caught:
        composed(override)
    flat = " ".join(paragraph(caught.value, EVALUATE).split())
    assert said in flat
    assert flat.endswith("See `python evaluate.py --help`.")


@pytest.mark.parametrize(
    ("override", "data", "prompt", "name"),
    [
        ("seed=0", "jsonl", "plain", "test/plain"),
        ("split=validation", "jsonl", "fifty_words", "validation/fifty_words"),
        ("seed=0", "generated", "plain", "generated/test/plain"),
        ("decoding.temperature=0.7", "jsonl", "plain", "test/plain/temperature_0.7"),
        ("name=mine", "generated", "plain", "mine"),
    ],
)
def test_the_name_tells_evaluations_of_a_run_apart(
    override: str, data: str, prompt: str, name: str, composed: Composed
) -> None:
    """The run's own data are jsonl."""
    config = load_for(EVALUATE, composed("run=abc", override))
    assert name == evaluation_name(config, {"data": data, "prompt": prompt}, "jsonl")


def test_a_checkpoint_is_a_local_model(composed: Composed, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = load_for(EVALUATE, composed(f"checkpoint={tmp_path}"))
    assert LocalModelConfig(str(tmp_path)) == config.policy_config()
    assert tmp_path.name == policy_name(config, {"model": "none"})
    other = load_for(EVALUATE, composed("model=tiny"))
    assert "tiny" == policy_name(other, {"model": "tiny"})


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job", "model=tiny"]])
def test_help_and_cfg_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """That is what makes them answer in under a second."""
    code = f"""
import json, runpy, sys
sys.argv = ["evaluate.py", *{arguments!r}]
try:
    runpy.run_path({str(ROOT / "evaluate.py")!r}, run_name="__main__")
finally:
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 0 == done.returncode, done.stderr
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert "tersely" in imported
    assert set() == HEAVY & imported
    assert [] == list(tmp_path.iterdir())


def test_help_has_a_line_for_each_group() -> None:
    text = EVALUATE.help_text()
    for name, group in EVALUATE.groups.items():
        assert f" {name} {group.meaning}: {' '.join(group.choices)} " in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
