"""What is done with each command of the pages: run small, asked for a page, composed, or left to
something else that is named. A rule holds for the commands that none above it holds for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from docs.written_commands import Written, written_commands


class Way(Enum):
    """How a command is tried."""

    run = auto()
    """As it stands, but for values after it that make it small, and real things for its words in
    capitals."""
    sweep = auto()
    """It is the README's sweep, which is run once for all that needs one."""
    page = auto()
    """It goes on; its page in a browser is asked for."""
    workers = auto()
    """Beside a stand-in for a vLLM server."""
    vllm = auto()
    """Beside a real vLLM server, where there is one."""
    jobs = auto()
    """Every job of it is composed and loaded."""
    elsewhere = auto()
    """Not here; `why` says where, or what it would need."""


@dataclass(frozen=True)
class Rule:
    """What is done with commands that `pattern` matches from their beginning."""

    pattern: str
    way: Way
    why: str = ""
    """Of one that is not run here."""
    says: str = ""
    """Part of what it has to say."""
    more: str = ""
    """Values that make it small, after those of every run."""
    page: str = ""
    """Only on pages whose path begins so."""


PYTHON = r"\.venv/bin/python "
TRAIN = rf"{PYTHON}train\.py "

RULES = (
    # Not run here.
    Rule(r"sh setup\.sh$", Way.elsewhere, why="needs a network; .ci/run begins with it"),
    Rule(r"sh setup\.sh (test|dev)$", Way.elsewhere, why="needs a network; .ci/run does both"),
    Rule(rf"{PYTHON}-m pytest$", Way.elsewhere, why="is what runs this"),
    Rule(r"python3\.\d+ -m venv ~/vllm$", Way.elsewhere, why="2 GB of vLLM; nox -s vllm makes it"),
    Rule(r"~/vllm/bin/pip install --no-deps", Way.elsewhere, why="nox -s vllm does it"),
    Rule(r"~/vllm/bin/pip install vllm==", Way.elsewhere, why="needs a machine with CUDA"),
    Rule(rf"{PYTHON}-m pip install", Way.elsewhere, why="needs a network; setup.sh test has them"),
    Rule(rf"{PYTHON}-m (pip wheel|venv) |elsewhere/", Way.elsewhere, why="test_wheel.py does it"),
    Rule(rf"{TRAIN}.*=submitit_slurm", Way.elsewhere, why="Slurm; test_launchers.py composes it"),
    Rule(rf"{PYTHON}benchmarks/miniature", Way.elsewhere, why="reads all runs of the page"),
    Rule(PYTHON, Way.elsewhere, page="docs/adding/", why="test_worked_examples.py types them"),
    # With a server.
    Rule(rf"{PYTHON}-m tersely\.rollout\.serve ", Way.vllm, says="rollout.workers=[http://"),
    Rule(rf"{TRAIN}rollout=vllm_local", Way.vllm, says="everything of this run"),
    Rule(rf"{TRAIN}.*rollout\.sync=lora", Way.vllm, says="everything of this run"),
    Rule(rf"{TRAIN}.*rollout=vllm ", Way.workers, says="everything of this run"),
    Rule(r"(\w+=\w+ )*\.venv/bin/mlflow ui ", Way.page, says="<title>MLflow</title>"),
    # The rest.
    Rule(r"export TERSELY_TOKEN=", Way.run),
    Rule(rf"{PYTHON}\w+\.py -m 'experiment=glob", Way.jobs),
    # The length-only sweeps are run below, as any other; these would be minutes more.
    Rule(rf"{TRAIN}.* experiment=miniature_\w+ (?!reward=length seed)", Way.jobs),
    Rule(rf"{TRAIN}-m \w+=\w+,\w+,\w+ \w+=\w+,\w+$", Way.sweep, says="6 jobs, all finished"),
    Rule(rf"{TRAIN}--cfg job", Way.run, says="\nreward:\n"),
    Rule(rf"{TRAIN}--dry-run ", Way.run, says="Nothing was started or kept"),
    Rule(rf"{TRAIN}-m ", Way.run, says="2 jobs, all finished"),
    Rule(rf"{PYTHON}train\.py$", Way.run, says="in MLflow (", more="tracking=mlflow"),
    Rule(TRAIN, Way.run, says="everything of this run"),
    Rule(rf"{PYTHON}evaluate\.py", Way.run, says="composite, 0 to 4"),
    Rule(rf"{PYTHON}report\.py", Way.run, says="report.html"),
)


def rule_of(command: Written) -> Rule | None:
    """The first that holds for a command."""
    for rule in RULES:
        if re.match(rule.pattern, command.text) and command.page.startswith(rule.page):
            return rule
    return None


def ruled(*ways: Way) -> Iterator[tuple[Written, Rule]]:
    """Commands that are tried in one of these ways, with their rules."""
    for command in written_commands():
        rule = rule_of(command)
        if rule is not None and rule.way in ways:
            yield command, rule
