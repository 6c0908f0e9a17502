"""The chores: `nox` does those that every change must pass, `nox -s NAME` one; `nox -l` lists."""

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
    install(session, *nox.project.dependency_groups(PROJECT, "types"), "--editable", ".[hub]")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python of this machine; what follows `--` goes to pytest."""
    install(session, "--editable", ".[test]")
    session.run("pytest", *session.posargs)


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
        # It makes environments of other projects, and has a session of its own.
        if script.stem != "peers":
            session.run("python", str(script))


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Compare one GRPO update with mlx-lm-lora, Unsloth and TRL; one environment each.

    `nox -s peers -- --full` adds the shape of Qwen2.5-0.5B; `--quick` takes under a minute.
    """
    install(session, "--editable", ".")
    session.run("python", "benchmarks/peers.py", *session.posargs)


@nox.session(default=False)
def warm_start(session: nox.Session) -> None:
    """Make the embedded model again from nothing, with the recorded seed."""
    install(session, "--editable", ".")
    session.run("python", "-m", "tersely.policy.warm_start", "src/tersely/policy/tiny")
