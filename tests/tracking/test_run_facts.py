"""What a run can be read back by."""

import json
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

import tersely
from tersely.tracking import NoTracking, facts
from tersely.tracking.facts import RunFacts, capture_facts, keep_facts


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository that holds a copy of facts.py, which is then asked about."""
    copy = tmp_path / "checkout" / "facts.py"
    copy.parent.mkdir()
    shutil.copyfile(facts.__file__, copy)
    git(copy.parent, "init", "--quiet")
    monkeypatch.setattr(facts, "__file__", str(copy))
    return copy.parent


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *who, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_clean_checkout_is_known_by_its_commit(checkout: Path) -> None:
    """Forty hex digits, and nothing changed."""
    git(checkout, "add", "facts.py")
    git(checkout, "commit", "--quiet", "-m", "first")
    captured = capture_facts()
    assert git(checkout, "rev-parse", "HEAD") == captured.code_version
    assert not captured.code_changed


def test_a_changed_checkout_is_said_to_be_changed(checkout: Path) -> None:
    """The commit alone would not give the numbers again."""
    git(checkout, "add", "facts.py")
    git(checkout, "commit", "--quiet", "-m", "first")
    (checkout / "facts.py").write_text("changed")
    assert capture_facts().code_changed


def test_an_environment_inside_another_project_is_not_its_checkout(checkout: Path) -> None:
    """A repository that does not track the file tells nothing about it."""
    (checkout / "other.py").write_text("")
    git(checkout, "add", "other.py")
    git(checkout, "commit", "--quiet", "-m", "first")
    captured = capture_facts()
    assert tersely.__version__ == captured.code_version
    assert not captured.code_changed


def test_packages_are_the_installed_ones() -> None:
    """Versions as the package metadata has them; what is missing is left out."""
    captured = capture_facts()
    assert version("mlx") == captured.packages["mlx"]
    assert platform.python_version() == captured.python
    assert {} == facts.installed(("no-such-package-anywhere",))


def test_facts_are_kept_with_the_run(tmp_path: Path) -> None:
    """Tags to look for, and two files to read back."""
    known = RunFacts("abc", True, {"mlx": "1.0"}, "3.11.0", "Linux", 2)
    with NoTracking().build(tmp_path, "a") as run:
        keep_facts(run, known, "seed: 3\n", tmp_path)
    tags = json.loads((tmp_path / "tags.json").read_text())
    assert ("abc", "true") == (tags["code_version"], tags["code_changed"])
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert {"mlx": "1.0"} == environment["packages"]
    assert "seed: 3\n" == (tmp_path / "config.yaml").read_text()
