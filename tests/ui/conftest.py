"""A browser, where there is one: `nox -s ui` brings Playwright and takes the system's Chromium."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Opened = Callable[..., Any]
"""A path or an address, and how it is looked at, to a page that has loaded."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium of this machine; none is downloaded."""
    playwright = pytest.importorskip("playwright.sync_api", reason="`nox -s ui` has Playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium and no google-chrome on the PATH")
    with playwright.sync_playwright() as started:
        # In a container its own sandbox has no rights; it sees nothing but our pages.
        launched = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Opens pages; fails the test for an error or a warning that one of them has logged."""
    contexts, said = [], []

    def open_page(address: str, scheme: str = "light", width: int = 1360) -> Any:
        viewport = {"width": width, "height": 900}
        context = browser.new_context(color_scheme=scheme, viewport=viewport)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [] == said


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where pictures go: $TERSELY_SCREENSHOTS, which the nox session sets."""
    folder = Path(os.environ.get("TERSELY_SCREENSHOTS", tmp_path / "shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
