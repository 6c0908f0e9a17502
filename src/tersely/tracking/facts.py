"""What a run can be read back by: the code's version, the packages, the machine."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tersely
from tersely.tracking.tracker import Tracker
from tersely.whole_file import write_json, write_whole

PACKAGES = (
    "mlx",
    "mlx-lm",
    "transformers",
    "tokenizers",
    "numpy",
    "nltk",
    "rouge-score",
    "rapidfuzz",
    "datasets",
    "evaluate",
    "hydra-core",
    "omegaconf",
    "mlflow",
)
"""The packages that can change a run's numbers or its records."""


@dataclass(frozen=True)
class RunFacts:
    """Where a run's numbers came from."""

    code_version: str
    """The git commit of the checkout that ran, else the version of the package."""
    code_changed: bool
    """Whether the checkout had changes that no commit holds."""
    packages: Mapping[str, str]
    """Package name -> installed version; what is not installed is left out."""
    python: str
    platform: str
    processors: int

    def tags(self) -> dict[str, str]:
        """The facts that one looks for runs by."""
        return {
            "code_version": self.code_version,
            "code_changed": str(self.code_changed).lower(),
            "python": self.python,
            "platform": self.platform,
        }


def capture_facts() -> RunFacts:
    """The facts of this process."""
    commit = git("rev-parse", "HEAD") if is_checkout() else None
    return RunFacts(
        code_version=commit or tersely.__version__,
        code_changed=commit is not None and bool(git("status", "--porcelain")),
        packages=installed(PACKAGES),
        python=platform.python_version(),
        platform=platform.platform(),
        processors=os.cpu_count() or 1,
    )


def keep_facts(tracker: Tracker, facts: RunFacts, config: str, folder: Path) -> None:
    """Write `environment.json` and the resolved `config.yaml` to `folder`, and track them."""
    tracker.tags(facts.tags())
    for file in write_facts(facts, config, folder):
        tracker.artifact(file)


def write_facts(facts: RunFacts, config: str, folder: Path) -> tuple[Path, Path]:
    """Write both to `folder`; where they are."""
    environment, resolved = folder / "environment.json", folder / "config.yaml"
    write_json(environment, asdict(facts))
    write_whole(resolved, config)
    return environment, resolved


def installed(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def is_checkout() -> bool:
    """Whether git keeps this very file: an environment inside another project does not count."""
    return git("ls-files", "--error-unmatch", Path(__file__).name) is not None


def git(*arguments: str) -> str | None:
    """What git answers in the folder of this file; None where it fails or is not installed."""
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
