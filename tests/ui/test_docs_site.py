"""The documentation's site in a browser, on desks and phones."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SIZES = {"phone": 390, "desk": 1440}
PAGES = ("index", "configuration", "architecture", "reliability")
"""The first, the one that is made, one with a drawing, and the one with the widest table."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is served; built as `nox -s docs` builds it."""
    pytest.importorskip("mkdocs", reason="`nox -s ui` and `nox -s docs` have mkdocs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert 0 == built.returncode, built.stderr
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_read_in_light_and_dark_on_desks_and_phones(
    opened: Any, site: str, shots: Path, name: str, size: str, scheme: str
) -> None:
    """It never scrolls sideways, logs no error, and is as bright as was asked for."""
    page = opened("about:blank", scheme, SIZES[size])
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{site}/{name}.html")
    page.screenshot(path=shots / f"site-{name}-{scheme}-{size}.png")
    assert SIZES[size] == page.evaluate("document.documentElement.scrollWidth")
    assert [] == said
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, colour.strip("rgb()").split(","))) / 3
    assert (brightness > 128) == (scheme == "light")
    assert 0 == page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")


def test_nothing_is_fetched_from_elsewhere(opened: Any, site: str) -> None:
    page = opened("about:blank")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    for name in PAGES:
        page.goto(f"{site}/{name}.html", wait_until="networkidle")
    assert len(fetched) > len(PAGES)
    assert [] == [url for url in fetched if not url.startswith((site, "data:", "blob:"))]


def test_a_key_is_found(opened: Any, site: str) -> None:
    """By the search, with its place on the page of the configuration."""
    page = opened(f"{site}/index.html", "light", SIZES["desk"])
    page.get_by_placeholder("Search").press_sequentially("max_staleness")
    found = page.locator(".md-search-result__link[href*='configuration.html?'][href$='#rollout']")
    found.first.wait_for(state="attached")
    page.goto(found.first.get_attribute("href"))
    assert "rollout.max_staleness" in page.locator("article").inner_text()
