"""What is read is data: no file that Tersely opens can run code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    file
    for place in ("src", "benchmarks")
    for file in (ROOT / place).rglob("*.py")
    if "egg-info" not in file.parts[-2]
) + sorted(ROOT.glob("*.py"))

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "jsonpickle"}
"""Read what runs code when it is read."""
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    ("torch", "load"),
    ("mx", "import_function"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("os", "system"),
    ("os", "popen"),
    ("pandas", "read_pickle"),
    ("pd", "read_pickle"),
}
KEYWORDS = {"allow_pickle", "trust_remote_code", "shell"}
"""Arguments that are False wherever they are given."""


def faults(source: str) -> Iterator[str]:
    """What a module does that could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *names]
            yield from (name for name in names if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in CALLS:
            yield function.id
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            called = (function.value.id, function.attr)
            if called in METHODS:
                yield ".".join(called)
            if called in {("np", "load"), ("numpy", "load")}:
                yield f"{called[0]}.load, where mx.load reads safetensors"
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
        "subprocess.run(command, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=asked)",
    ],
)
def test_each_way_would_be_noticed(source: str) -> None:
    assert [] != list(faults(source))
