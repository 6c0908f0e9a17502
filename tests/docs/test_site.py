"""A site with a broken link, or with a page that no way leads to, is not built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="`nox -s docs` has mkdocs")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of, to be spoilt; its navigation and its pages are a few."""
    shutil.copytree(ROOT / "docs" / "hooks", tmp_path / "docs" / "hooks")
    settings = (ROOT / "mkdocs.yml").read_text().replace("favicon.svg", "other.svg")
    before, _, rest = settings.partition("nav:\n")
    nav = "nav:\n  - index.md\n  - configuration.md\n\nplugins:"
    (tmp_path / "mkdocs.yml").write_text(before + nav + rest.partition("\nplugins:")[2])
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[Keys](configuration.md#loss.beta)\n")
    shutil.copy(ROOT / "docs" / "configuration.md", tmp_path / "docs")
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    return tmp_path


def build(folder: Path, code: int) -> str:
    """What a strict build says; it must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert code == done.returncode, done.stderr
    return done.stderr


def test_a_sound_one_is_built_with_the_reference(copy: Path) -> None:
    build(copy, 0)
    page = (copy / ".nox" / "site" / "configuration.html").read_text()
    assert '<code class="key" id="loss.beta">loss.beta</code> float, default' in page


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("[gone](gone.md)", "contains a link 'gone.md', but the target is not found"),
        ("[key](configuration.md#loss.gone)", "does not contain an anchor '#loss.gone'"),
        ("[file](../gone.py)", "has a link to ../gone.py: no such file"),
        ("Text.\n- no item", "an empty line is wanted before a list"),
    ],
)
def test_one_that_is_not_is_not(copy: Path, markdown: str, said: str) -> None:
    (copy / "docs" / "index.md").write_text(f"# Home\n\n{markdown}\n")
    assert said in build(copy, 1)


def test_a_page_without_a_place_in_the_navigation(copy: Path) -> None:
    (copy / "docs" / "orphan.md").write_text("# Orphan\n")
    assert "orphan.md" in build(copy, 1)
