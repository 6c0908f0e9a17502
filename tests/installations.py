"""Distributions of this checkout, and environments that they are installed in."""

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def build(kind: str, checkout: Path, into: Path) -> Path:
    """An `sdist`, a `wheel` or an `editable` wheel of `checkout` in the new folder `into`; no
    network is needed."""
    into.mkdir()
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(into)!r})"
    said(checkout, [sys.executable, "-c", code])
    (made,) = into.iterdir()
    return made


@dataclass(frozen=True)
class Installation:
    """An environment with a wheel; everything else is that of the environment of these tests."""

    folder: Path

    def run(self, here: Path, *words: str, code: int = 0) -> str:
        """What a command says in `here`; it must end with `code`."""
        return said(here, words, self.variables(), code)

    def variables(self) -> dict[str, str]:
        """Those of a shell in which it is activated."""
        own = {key: value for key, value in os.environ.items() if "TERSELY" not in key}
        for name in ("PYTHONPATH", "HYDRA_FULL_ERROR"):
            own.pop(name, None)
        return own | {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def install(wheel: Path, folder: Path) -> Installation:
    """A fresh environment with `wheel`, and without the checkout."""
    venv.create(folder, with_pip=True)
    made = Installation(folder)
    made.run(folder, "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel))
    (packages,) = folder.glob("lib/python*/site-packages")
    # A folder that a .pth file names is searched, but its own .pth files are not read: those of an
    # editable installation lead to the checkout.
    running = [each for each in sys.path if Path(each).name in ("site-packages", "dist-packages")]
    (packages / "running.pth").write_text("\n".join(running))
    return made


def said(
    here: Path,
    words: Sequence[str],
    variables: dict[str, str] | None = None,
    code: int = 0,
) -> str:
    """All that a command says; it must end with `code`."""
    done = subprocess.run(
        words, cwd=here, env=variables, capture_output=True, text=True, timeout=300
    )
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr
