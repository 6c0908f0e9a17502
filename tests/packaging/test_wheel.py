"""A wheel of this checkout, used from an empty folder."""

import json
import shlex
import signal
import subprocess
import tarfile
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns
from zipfile import ZipFile

import pytest
from installations import Installation, build, install
from started_runs import wait_for_steps

import tersely
from tersely.config import CONF

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "tersely"
MADE_OF = ("src", "conf", "pyproject.toml", "setup.py", "README.md", "LICENSE")
SMALL = ("tracking=none", "rollout.group_size=2", "rollout.max_tokens=72", "data.train=8",
         "trainer.prompts_per_step=1", "data.validation=2", "data.test=2")  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is made of, without what earlier builds have left."""
    folder = tmp_path_factory.mktemp("packaging") / "clone"
    folder.mkdir()
    for name in MADE_OF:
        if (ROOT / name).is_dir():
            left = ignore_patterns("*.egg-info", "__pycache__")
            copytree(ROOT / name, folder / name, ignore=left)
        else:
            copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    """Made of a source distribution, so that this one has all that it takes."""
    archive = build("sdist", clone, clone.parent / "sdist")
    with tarfile.open(archive) as files:
        files.extractall(clone.parent, filter="data")
    unpacked = clone.parent / archive.name.removesuffix(".tar.gz")
    return build("wheel", unpacked, clone.parent / "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Installation:
    """An environment that has the wheel, and nothing of the checkout."""
    return install(wheel, wheel.parents[1] / "environment")


def test_a_wheel_has_all_that_the_package_reads(wheel: Path) -> None:
    """Each file of conf/ and each of the package that is no module, byte for byte."""
    expected = {f"tersely/conf/{file.relative_to(CONF)}": file for file in CONF.rglob("*.yaml")}
    assert len(expected) > 100
    for file in SOURCES.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            expected[f"tersely/{file.relative_to(SOURCES)}"] = file
    for name in ("py.typed", "policy/tiny/model.safetensors", "analysis/published.json"):
        assert f"tersely/{name}" in expected
    with ZipFile(wheel) as files:
        there = {name for name in files.namelist() if ".dist-info/" not in name}
        assert set(expected) == there
        for name, file in expected.items():
            assert file.read_bytes() == files.read(name), name
        (licence,) = (name for name in files.namelist() if name.endswith("/LICENSE"))
        assert (ROOT / "LICENSE").read_bytes() == files.read(licence)


def test_a_checkout_reads_its_own_conf(clone: Path, tmp_path: Path) -> None:
    """There is one copy of it, also where the package is installed with `pip install --editable`:
    that is a path to the sources, which have none."""
    assert ROOT / "conf" == CONF
    assert not (SOURCES / "conf").exists()
    with ZipFile(build("editable", clone, tmp_path / "editable")) as files:
        (path,) = (name for name in files.namelist() if name.endswith(".pth"))
        assert str(clone / "src") == files.read(path).decode().strip()
        assert not any(name.endswith(".yaml") for name in files.namelist())


def test_what_is_imported_is_the_wheel_s(installed: Installation, tmp_path: Path) -> None:
    """The package, its version and its values; no part of the path leads to the checkout."""
    code = (
        "import json, sys, tersely, tersely.config as c; from importlib.metadata import version; "
        "print(json.dumps([tersely.__file__, str(c.CONF), version('tersely'), sys.path]))"
    )
    package, conf, version, path = json.loads(installed.run(tmp_path, "python", "-c", code))
    (packages,) = installed.folder.glob("lib/python*/site-packages")
    assert packages / "tersely" / "__init__.py" == Path(package)
    assert packages / "tersely" / "conf" == Path(conf)
    assert tersely.__version__ == version
    assert not [each for each in path if Path(each).is_relative_to(ROOT / "src")]


def test_a_run_can_be_composed_and_a_mistake_is_told_what_to_type(
    installed: Installation, tmp_path: Path
) -> None:
    """With a row of the study's tables, a pattern that stands for none, and a wrong key."""
    row = installed.run(tmp_path, "tersely", "train", "--cfg", "job",
                        "experiment=study/qwen_joint_rouge")  # fmt: skip
    assert "repo: mlx-community/Qwen2.5-0.5B-Instruct-bf16" in row
    wrong = ("experiment=glob(nothing/*)", "trainer.stepz=1")
    for argument in wrong:
        told = installed.run(tmp_path, "tersely", "train", "-m", argument, code=2)
        assert told.startswith("\nError: ")
    assert "See `tersely train --help`." in " ".join(told.split())
    assert [] == list(tmp_path.iterdir())


def test_a_run_that_is_stopped_goes_on_by_what_it_says(
    installed: Installation, tmp_path: Path
) -> None:
    """The command that is printed after Ctrl-C, as a shell takes it, ends the run."""
    run = ("hydra.run.dir=run", *SMALL)
    process = subprocess.Popen(
        ["tersely", "train", "trainer.steps=8", "seed=1", *run],
        cwd=tmp_path,
        env=installed.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for_steps(process, tmp_path / "run", 1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=300)
    assert 130 == process.returncode, told
    assert "Traceback" not in told
    (line,) = [each.strip() for each in told.splitlines() if each.startswith("  tersely ")]
    words = shlex.split(line)
    assert ["tersely", "train", "trainer.steps=8"] == words[:3]

    assert "going on with the run" in installed.run(tmp_path, *words)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "FINISHED" == result["status"]
    facts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert tersely.__version__ == facts["code_version"]
    assert ["run"] == [each.name for each in tmp_path.iterdir()]


def test_the_other_commands_have_what_they_read(installed: Installation, tmp_path: Path) -> None:
    """A report its templates and the published numbers, an evaluation its values."""
    row = ("--cfg", "job", "experiment=study/zero_shot/qwen_fifty_words")
    assert "repo: mlx-community/" in installed.run(tmp_path, "tersely", "evaluate", *row)
    installed.run(tmp_path, "tersely", "report", "published", "tracking=none", "output=out")
    assert "<style>" in (tmp_path / "out" / "report.html").read_text()
