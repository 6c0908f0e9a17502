"""What is read is data: no file that Tersely opens can run code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from imported_names import full_names, named

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    file
    for place in ("src", "benchmarks")
    for file in (ROOT / place).rglob("*.py")
    if "egg-info" not in file.parts[-2]
) + sorted(ROOT.glob("*.py"))

MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "jsonpickle"),
    *("runpy", "pty"),
}
"""Run what they read, or read what runs code when it is read."""
CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("torch.load", "numpy.load", "mlx.core.import_function", "pandas.read_pickle"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    "asyncio.create_subprocess_shell",
}
PROGRAMS = ("os.exec", "os.spawn", "os.posix_spawn")
"""How calls begin that start a program; `subprocess` takes a list and no shell."""
USUAL = {"np": "numpy", "mx": "mlx.core", "pd": "pandas"}
"""What these names stand for also where a module does not import them itself."""
KEYWORDS = {"allow_pickle", "trust_remote_code", "shell"}
"""Arguments that are False wherever they are given."""


def faults(source: str) -> Iterator[str]:
    """What a module does that could run what it reads."""
    tree = ast.parse(source)
    names = USUAL | full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [each.name for each in node.names]
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or "", *modules]
            yield from (name for name in modules if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        called = (named(node.func, names) or "").removeprefix("builtins.")
        if called in CALLS or called.startswith(PROGRAMS):
            yield called
        for given in node.keywords:
            no = isinstance(given.value, ast.Constant) and given.value.value is False
            if given.arg in KEYWORDS and not no:
                yield f"{given.arg}="


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_runs_nothing_that_it_reads(file: Path) -> None:
    assert [] == list(faults(file.read_text(encoding="utf-8")))


def test_the_modules_are_found() -> None:
    """Or the test above would say nothing."""
    assert 200 < len(SOURCES)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "from os import path; import joblib.memory",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "torch.load(file)",
        "np.load(file, allow_pickle=True)",
        "yaml.load(text, Loader)",
        "os.system(command)",
        "from torch import load; load(file)",
        "from yaml import unsafe_load as read; read(text)",
        "from numpy import load; load(file)",
        "import builtins; builtins.eval(text)",
        "import runpy; runpy.run_path(file)",
        "from subprocess import getoutput; getoutput(command)",
        "import asyncio; asyncio.create_subprocess_shell(command)",
        "import os as o; o.execv(file, words)",
        "from os import popen; popen(command)",
        "subprocess.run(command, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=asked)",
    ],
)
def test_each_way_would_be_noticed(source: str) -> None:
    assert [] != list(faults(source))
