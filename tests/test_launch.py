"""What becomes of arguments before Hydra reads them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.launch import with_globs_of_folders

ROOT = Path(__file__).parents[1]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """experiment/{top,a/one,a/two,a/deep/three,b/one}.yaml"""
    for name in ("top", "a/one", "a/two", "a/deep/three", "b/one"):
        file = tmp_path / "experiment" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("experiment=glob(a/*)", "experiment=a/one,a/two"),
        ("experiment=glob(a/t*)", "experiment=a/two"),
        ("experiment=glob(a/**)", "experiment=a/one,a/two"),
        ("experiment=glob(*/one)", "experiment=a/one,b/one"),
        ("experiment=glob(a/deep/*)", "experiment=a/deep/three"),
        ("experiment=glob([b/*,a/two])", "experiment=a/two,b/one"),
        ("experiment=glob(a/*,exclude=a/o*)", "experiment=a/two"),
        ("experiment=glob(a/*,exclude=*ne)", "experiment=a/two"),
        # What Hydra does itself, and what is no glob.
        ("experiment=glob(*)", "experiment=glob(*)"),
        ("experiment=a/one", "experiment=a/one"),
        ("--multirun", "--multirun"),
    ],
)
def test_a_glob_of_a_folder_stands_for_its_files(argument: str, expected: str, conf: Path) -> None:
    """Not for those of folders below it."""
    assert expected == with_globs_of_folders(argument, conf)


def test_a_glob_that_stands_for_nothing_is_refused(conf: Path) -> None:
    """Hydra would run no job and say so nowhere."""
    for pattern in ("c/*", "/a/*"):
        with pytest.raises(ConfigError, match=r"glob\(.*\) stands for no file"):
            with_globs_of_folders(f"experiment=glob({pattern})", conf)


@pytest.mark.parametrize(("exclude", "what"), [("x*", "nothing"), ("*", "everything")])
def test_an_exclude_that_does_not_do_what_one_would_want_is_refused(
    exclude: str, what: str, conf: Path
) -> None:
    """A row too many is a thousand steps and a judge's fee."""
    with pytest.raises(ConfigError, match=rf"takes {what} away"):
        with_globs_of_folders(f"experiment=glob(a/*,exclude={exclude})", conf)


def test_a_sweep_over_the_study_has_a_job_for_each_row(tmp_path: Path) -> None:
    """Each is refused at once here, for want of a model, and is named by its row."""
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "-m", "experiment=glob(study/*)", "model=local"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    rows = {file.stem for file in (ROOT / "conf" / "experiment" / "study").glob("*.yaml")}
    failed = re.findall(r"^- experiment=study/(\w+) model=local: ConfigError", done.stdout, re.M)
    assert 26 == len(failed)
    assert rows == set(failed)
