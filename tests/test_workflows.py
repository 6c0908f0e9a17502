"""What runs on GitHub, and on a contributor's commit, names what there is."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from tersely.config import CONF, load, register

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(file for file in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if file.stem != "config")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()
SENTENCES = {"input", "textarea", "dropdown", "checkboxes", "markdown"}
"""What a form of an issue is made of."""


def read(file: Path) -> Any:
    """A YAML file, in which `on` is a word and no truth value."""
    return yaml.load(file.read_text(), yaml.BaseLoader)


def jobs(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(file)["jobs"]
    return found


def commands(file: Path) -> Iterator[list[str]]:
    """Every command of every step, with what a matrix says filled in by its name."""
    for job in jobs(file).values():
        for step in job["steps"]:
            for line in step.get("run", "").replace("\\\n", " ").splitlines():
                yield shlex.split(line.replace("${{ ", "<").replace(" }}", ">"), comments=True)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_only_read_and_ends_in_time(file: Path) -> None:
    """Older runs of a branch end when a newer one begins; no action is taken without a version,
    and no step keeps a token."""
    workflow = read(file)
    assert {"contents": "read"} == workflow["permissions"]
    assert "true" == workflow["concurrency"]["cancel-in-progress"]
    assert "github.ref" in workflow["concurrency"]["group"]
    for name, job in jobs(file).items():
        assert 0 < int(job["timeout-minutes"]) <= 120, name
        assert "permissions" not in job
        used = [step for step in job["steps"] if "uses" in step]
        for step in used:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]), name
        assert "false" == used[0]["with"]["persist-credentials"], name


def test_every_session_that_a_workflow_names_exists() -> None:
    """And what must pass is among them, on Linux and on macOS."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {
        each.name
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        and any("nox.session" in ast.unparse(decorator) for decorator in each.decorator_list)
    }
    named: set[str] = set()
    for file in WORKFLOWS:
        for words in commands(file):
            if "--sessions" in words:
                named |= set(words[words.index("--sessions") + 1 :])
    named = {name.replace("tests-<matrix.python>", "tests") for name in named}
    assert named <= sessions
    assert {"lint", "types", "tests", "docs"} <= named


def test_the_tests_run_on_every_python_that_the_package_names() -> None:
    matrix = jobs(GITHUB / "workflows" / "checks.yml")["tests"]["strategy"]["matrix"]
    named = (each.rpartition(" :: ")[2] for each in PROJECT["project"]["classifiers"])
    pythons = [name for name in named if re.fullmatch(r"3\.\d+", name)]
    assert pythons == matrix["python"]
    assert ["ubuntu-latest", "macos-latest"] == matrix["system"]


def test_every_training_of_a_workflow_composes() -> None:
    """A key that is not there any more would be found out on GitHub alone."""
    register()
    trainings = 0
    for words in (words for file in WORKFLOWS for words in commands(file)):
        given = [word.partition(",")[0] for word in words if re.match(r"[a-z_.]+=", word)]
        if not given or not {"train", "train.py"} & set(words):
            continue
        trainings += 1
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            load(compose("config", given))
    assert 3 == trainings


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_a_form_asks_for_what_is_needed(file: Path) -> None:
    """Each question once, each with a label, and something that must be answered."""
    form = read(file)
    assert {"name", "description", "title", "labels", "body"} == form.keys()
    asked = [part["id"] for part in form["body"]]
    assert len(set(asked)) == len(asked)
    assert {part["type"] for part in form["body"]} <= SENTENCES
    assert all(part["attributes"]["label"] for part in form["body"])
    assert any("true" == part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    assert ["crash", "idea", "wrong_number"] == [file.stem for file in FORMS]
    assert (GITHUB / "PULL_REQUEST_TEMPLATE.md").read_text().count("- [ ]") > 1


def test_hooks_have_the_versions_that_are_pinned() -> None:
    """ruff says the same on a commit as in `nox -s lint`. Each hook has a version at all."""
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert "local" == local["repo"]
    wanted = [one for hook in local["hooks"] for one in hook["additional_dependencies"]]
    assert len(local["hooks"]) == len(wanted)
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", one) for one in wanted)
    ruff = {one for one in wanted if one.startswith("ruff==")}
    assert ruff == {line for line in CONSTRAINTS if line.startswith("ruff==")}
    assert {"ruff check", "ruff format"} <= {hook["name"] for hook in local["hooks"]}


def test_every_launcher_of_the_extra_is_pinned() -> None:
    """As all that is installed here."""
    for wanted in PROJECT["project"]["optional-dependencies"]["launchers"]:
        name = re.split(r"[<>=]", wanted)[0]
        assert any(line.startswith(f"{name}==") for line in CONSTRAINTS), name
