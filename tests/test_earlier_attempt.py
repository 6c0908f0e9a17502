"""Whose a folder is."""

import json
import logging
from pathlib import Path

import pytest

from tersely.earlier_attempt import take_folder
from tersely.errors import ConfigError, DataError, ModelError
from tersely.sweep.result import JobResult
from tersely.tracking.facts import RunFacts

YAML = "seed: 0\nstrategy: {}\ntrainer:\n  steps: 40\n  save_every: 50\njudge:\n  max_calls: 2\n"
CHOICES = {"strategy": "joint", "judge": "panel"}


def begun(folder: Path) -> Path:
    """A folder in which a run has measured something."""
    assert not take_folder(folder, YAML, CHOICES).there
    (folder / "metrics.jsonl").write_text('{"step": 1, "milliseconds": 5, "a": 1.0}\n')
    return folder


def test_the_same_configuration_goes_on(tmp_path: Path) -> None:
    """Also with what decides nothing of the result."""
    begun(tmp_path)
    assert take_folder(tmp_path, YAML, CHOICES).there
    assert take_folder(tmp_path, YAML.replace("50", "5"), CHOICES).there
    tracked = YAML + "tracking:\n  folder: other\nchecks:\n  strict: true\n"
    assert take_folder(tmp_path, tracked, {**CHOICES, "tracking": "none"}).there


@pytest.mark.parametrize(
    ("yaml", "choices", "words"),
    [
        (YAML.replace("40", "80"), CHOICES, "trainer.steps is 40 there and 80 here"),
        (YAML.replace("seed: 0", "seed: 1"), CHOICES, "seed is 0 there and 1 here"),
        (YAML, {**CHOICES, "strategy": "staged"}, "strategy is joint there and staged here"),
        (YAML + "loss:\n  beta: 1\n", CHOICES, "loss.beta is missing there and 1 here"),
    ],
)
def test_another_one_is_refused(
    yaml: str, choices: dict[str, str], words: str, tmp_path: Path
) -> None:
    """With the key, both values and what to do; what was kept stays."""
    begun(tmp_path)
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir=FOLDER") as caught:
        take_folder(tmp_path, yaml, choices)
    assert words in str(caught.value)
    assert YAML == (tmp_path / "config.yaml").read_text()
    assert CHOICES == json.loads((tmp_path / "choices.json").read_text())


def test_it_is_taken_where_nothing_was_measured(tmp_path: Path) -> None:
    """The first attempt refused its configuration, and left an empty file of metrics."""
    take_folder(tmp_path, YAML, CHOICES)
    (tmp_path / "metrics.jsonl").touch()
    assert not take_folder(tmp_path, YAML.replace("40", "80"), CHOICES).there
    assert "steps: 80" in (tmp_path / "config.yaml").read_text()


@pytest.mark.parametrize("text", ["", "seed: [", "3"])
def test_a_broken_configuration_counts_as_missing(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run begins anew, unless there is something that it would go on from."""
    begun(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    assert not take_folder(tmp_path, YAML, CHOICES).there
    assert "counts as missing" in caplog.text
    (tmp_path / "checkpoints" / "final").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"has checkpoints/final .* no config\.yaml"):
        take_folder(tmp_path, YAML, CHOICES)


def test_a_run_that_has_finished_is_done_unless_its_budget_was_raised(tmp_path: Path) -> None:
    begun(tmp_path)
    JobResult("KILLED").write(tmp_path)
    assert take_folder(tmp_path, YAML, CHOICES).result is None
    JobResult("FINISHED").write(tmp_path)
    done = take_folder(tmp_path, YAML, CHOICES).result
    assert done is not None and done.finished
    again = take_folder(tmp_path, YAML.replace("max_calls: 2", "max_calls: null"), CHOICES)
    assert (True, None) == (again.there, again.result)


def test_other_code_is_said_and_other_data_or_another_model_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun(tmp_path)
    before = {"code_version": "abc", "packages": {"mlx": "1.0"}}
    (tmp_path / "environment.json").write_text(json.dumps(before))
    tags = {"data_fingerprint": "d1", "model_fingerprint": "m1"}
    (tmp_path / "tags.json").write_text(json.dumps(tags))
    earlier = take_folder(tmp_path, YAML, CHOICES)
    with caplog.at_level(logging.WARNING):
        earlier.warn_of_other_code(RunFacts("abc", False, {"mlx": "1.0"}, "3", "Linux", 2))
        assert "" == caplog.text
        earlier.warn_of_other_code(RunFacts("def", False, {"mlx": "1.1"}, "3", "Linux", 2))
    assert "the code was abc in the earlier attempt and is def now" in caplog.text
    assert "mlx was 1.0 in the earlier attempt and is 1.1 now" in caplog.text
    earlier.check_data("d1")
    with pytest.raises(DataError, match="d2, and had d1"):
        earlier.check_data("d2")
    earlier.check_model("m1")
    with pytest.raises(ModelError, match="m2, and had m1"):
        earlier.check_model("m2")


def test_what_an_older_version_did_not_keep_is_not_held_against_a_run(tmp_path: Path) -> None:
    begun(tmp_path)
    take_folder(tmp_path, YAML, CHOICES).check_model("m1")


def test_a_link_to_a_checkpoint_that_is_gone_is_nothing(tmp_path: Path) -> None:
    """Somebody has deleted the checkpoints to save space."""
    take_folder(tmp_path, YAML, CHOICES)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "latest").symlink_to("step_000040")
    assert not take_folder(tmp_path, YAML.replace("40", "80"), CHOICES).there
