"""What a person is told to type, at either door."""

import subprocess
import sys
from pathlib import Path

import pytest

from tersely.called import DOOR_VARIABLE, PYTHON_VARIABLE, called, called_here, remember_the_door
from tersely.config import TRAIN
from tersely.going_on import command


def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been remembered."""
    for variable in (DOOR_VARIABLE, PYTHON_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The console script of an environment, as which this process was started."""
    script = tmp_path / "bin" / "tersely"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "seed=1"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return script


def test_in_a_checkout_commands_are_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that runs is named as it was, from wherever that is, and the others stand beside."""
    clear(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["../train.py", "seed=1"])
    assert "python ../report.py" == called("report")
    assert ["python", "../train.py"] == called_here("train")
    assert "       python ../train.py -m reward=rouge,meteor,bleu" in TRAIN.help_text()


def test_a_script_that_was_typed_from_the_root_is_named_in_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clear(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["/home/me/tersely/train.py"])
    assert "python report.py" == called("report")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (".venv/bin/python", ".venv/bin/python"),
        ("../venv/bin/python3.12", "../venv/bin/python3.12"),
        ("python3", "python3"),
        ("/home/me/tersely/.venv/bin/python", "python"),
    ],
)
def test_the_interpreter_is_named_as_it_was_typed(
    typed: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a path from the root: `python` is another one outside of an environment."""
    clear(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "orig_argv", [typed, "train.py"])
    assert f"{expected} report.py" == called("report")
    assert [expected, "train.py"] == called_here("train")


@pytest.mark.parametrize("name", ["train", "evaluate", "report"])
def test_a_python_without_the_package_says_where_it_is(name: str) -> None:
    script = Path(__file__).parents[1] / f"{name}.py"
    # -I -S: nothing but the standard library.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script)], capture_output=True, text=True, timeout=60
    )
    assert 1 == done.returncode
    assert done.stderr.startswith("Error: tersely is not installed for this Python. `sh setup.sh`")
    assert f"then: .venv/bin/python {name}.py" in done.stderr


def test_installed_commands_are_words(installed: Path) -> None:
    assert "tersely report" == called("report")
    assert "       tersely train -m reward=rouge,meteor,bleu" in TRAIN.help_text()
    assert "python" not in TRAIN.help_text()


def test_the_command_to_go_on_is_found_by_a_shell(
    installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By its name where PATH leads to this very script, else by its path."""
    monkeypatch.chdir(tmp_path)
    going_on = "train seed=1 hydra.run.dir=run"
    assert f"{installed} {going_on}" == command(tmp_path / "run", "run", "train")
    monkeypatch.setenv("PATH", f"{installed.parent}:/usr/bin:/bin")
    assert f"tersely {going_on}" == command(tmp_path / "run", "run", "train")


def test_a_process_that_another_one_started_names_the_door_of_that_one(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of a sweep under submitit runs in submitit's own script."""
    for variable in (DOOR_VARIABLE, PYTHON_VARIABLE):
        monkeypatch.setenv(variable, "")  # so that it is put back
    remember_the_door()
    monkeypatch.setattr(sys, "argv", ["submitit/core/_submit.py", "multirun/night/.submitit"])
    assert "tersely evaluate" == called("evaluate")


def test_a_process_that_another_one_started_names_the_interpreter_of_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has been started by a path from the root."""
    for variable in (DOOR_VARIABLE, PYTHON_VARIABLE):
        monkeypatch.setenv(variable, "")  # so that it is put back
    monkeypatch.setattr(sys, "argv", ["train.py", "-m"])
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "train.py", "-m"])
    remember_the_door()
    monkeypatch.setattr(sys, "argv", ["loky.py"])
    monkeypatch.setattr(sys, "orig_argv", ["/home/me/.venv/bin/python", "-m", "loky"])
    assert ".venv/bin/python report.py" == called("report")
