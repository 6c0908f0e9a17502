"""Where the commands of the pages are run: folders that look like a clone, with real things in the
places of FOLDER, NAME and the like."""

import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cached_property
from pathlib import Path
from threading import Lock

from tersely.policy.load import TINY

ROOT = Path(__file__).parents[2]
IN_A_CLONE = ("README.md", "benchmarks", "conf", "constraints.txt", "docs", "evaluate.py",
              "noxfile.py", "pyproject.toml", "report.py", "servers", "setup.py", "setup.sh", "src",
              "train.py")  # fmt: skip
SMALL = (
    "trainer.steps=1 trainer.epochs=null trainer.prompts_per_step=2 rollout.group_size=2 "
    "rollout.max_tokens=72"
)
SMALL_DATA = "data.train=4 data.validation=2 data.test=2"
LOCAL = {
    r"\bmodel=(qwen2_5_0_5b|lfm2_5_350m|Qwen/\S+)": "model=tiny",
    r"\bdata=smoltldr": "data=generated",
    r"\bjudge=geval_openai": "judge=facts",
}
"""Choices that want the Hub or a key, and what is there without."""


class Workplace:
    """A folder for each page, so that what two of them make does not meet; one MLflow store."""

    def __init__(self, root: Path) -> None:
        self._root, self._sweeping = root, Lock()
        (root / "home").mkdir()
        (root / "mlruns").mkdir()
        self.posts = root / "posts"
        """A folder with the three files of data=jsonl."""
        self.posts.mkdir()
        for split in ("train", "validation", "test"):
            post = "{} cats sat on a mat and talked of " + split
            rows = [{"prompt": post.format(n), "completion": "cats sat"} for n in range(4)]
            (self.posts / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def clone(self, name: str) -> Path:
        """A folder that looks like a clone after `sh setup.sh`, made at the first call."""
        folder = self._root / re.sub(r"\W", "_", name)
        if not folder.exists():
            programs = folder / ".venv" / "bin"
            programs.mkdir(parents=True)
            for file in IN_A_CLONE:
                (folder / file).symlink_to(ROOT / file)
            scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
            module, _, function = scripts["tersely"].partition(":")
            for program, text in {
                "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
                "mlflow": f'#!/bin/sh\nexec {sys.executable} -m mlflow "$@"\n',
                "tersely": f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n",
            }.items():
                (programs / program).write_text(text)
                (programs / program).chmod(0o755)
        return folder

    def page(self, name: str) -> Path:
        """The clone in which the commands of a page are run."""
        folder = self.clone(name)
        if not (folder / "mlruns").exists():
            (folder / "mlruns").symlink_to(self._root / "mlruns")
        return folder

    @property
    def sweep(self) -> tuple[Path, str]:
        """The README's sweep, made small at the first call: its folder, and what it said."""
        with self._sweeping:
            return self._sweep

    @cached_property
    def _sweep(self) -> tuple[Path, str]:
        folder = self.clone("the sweep")
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        sweep = re.search(r"^\.venv/bin/python train\.py -m reward=.*$", readme, re.M)
        assert sweep is not None
        few = f"{SMALL} {SMALL_DATA} trainer.steps=2 rollout.group_size=4"
        line = f"{sweep[0]} {few} hydra.sweep.dir=multirun/NAME"
        return folder / "multirun" / "NAME", self.done(line, folder)

    @cached_property
    def run(self) -> Path:
        """The folder of a run that has finished."""
        return next(self.sweep[0].glob("*/result.json")).parent

    def environment(self) -> dict[str, str]:
        """Nobody's own settings, and a home of its own; nothing may be fetched."""
        kept = {name: value for name, value in os.environ.items() if "TERSELY" not in name}
        fonts = kept.get("MPLCONFIGDIR") or f"{Path.home()}/.config/matplotlib"
        return kept | {
            "HOME": str(self._root / "home"),
            "HF_HUB_OFFLINE": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MPLCONFIGDIR": fonts,
        }

    def done(self, line: str, folder: Path) -> str:
        """What a shell in `folder` said to a line; it has to end with 0."""
        ended = subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        said = ended.stdout + ended.stderr
        assert 0 == ended.returncode, f"{line}\n{said}"
        return said

    def made_real(self, text: str, folder: Path) -> str:
        """A command with something in the place of each word in capitals, and without the Hub;
        a sweep that it names is in `folder` then."""
        for choice, there in LOCAL.items():
            text = re.sub(choice, there, text)
        for place, real in {
            "data.path=FOLDER": lambda: self.posts,
            "model.path=FOLDER": lambda: TINY,
            "checkpoint=FOLDER": lambda: TINY,
            "run=FOLDER": lambda: self.run,
        }.items():
            if place in text:
                text = text.replace("FOLDER", f"'{real()}'")
        for name in re.findall(r"\bsweep=(\w+)", text):
            (folder / "multirun").mkdir(exist_ok=True)
            if not (folder / "multirun" / name).exists():
                (folder / "multirun" / name).symlink_to(self.sweep[0])
        return text


def made_small(text: str) -> str:
    """A command of train.py or evaluate.py that is done in seconds: of a sweep two jobs, and small
    values at its end, which go before those that stand there already."""
    called = re.search(r"\b(train|evaluate|report)(\.py)?( |$)", text)
    if called is None or called[1] == "report":
        return text
    told = fewer_jobs(text) if " -m " in text else text
    data = "" if re.search(r"\bdata=jsonl", text) else SMALL_DATA
    return f"{told} {SMALL if called[1] == 'train' else ''} {data} tracking=none"


def fewer_jobs(text: str) -> str:
    """Two values of the first key that has several, and one of each other."""
    words, left = text.split(" "), 2
    for place, word in enumerate(words):
        key, _, values = word.partition("=")
        if "," in values and not re.search(r"[\'\"\[(]", values):
            words[place] = f"{key}={','.join(values.split(',')[:left])}"
            left = 1
    return " ".join(words)
