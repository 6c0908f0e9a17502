"""`report.html` in a browser: what a person looks for is there, and works."""

import json
from pathlib import Path
from typing import Any

import pytest
from hostile import NASTY as HOSTILE
from written_runs import row, write_run

from tersely.analysis.config import ReportConfig
from tersely.analysis.report import make_report
from tersely.tracking import NoTracking

BASE = [0.40, 0.45, 0.52, 0.46, 0.61, 0.36]
NASTY = "</script><script>document.title = 'taken'</script><b>bold</b>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report on four configurations with two seeds; one post is no friend of ours."""
    sweep = tmp_path_factory.mktemp("ui") / "multirun" / "night"
    for seed in (0, 1):
        for place, reward in enumerate(("length", "rouge", "meteor_rouge", "bleu")):
            scores = [score + 0.03 * place + 0.002 * seed for score in BASE]
            write_run(sweep / f"{reward}{seed}", scores, reward=reward, seed=seed, before=BASE)
    for table in sweep.glob("*/tables/summaries_*.jsonl"):
        assert row(3, 0.0, 64, True)["post"] == "post 3"
        replaced = table.read_text().replace('"post 3"', f'"{NASTY}"')
        table.write_text(replaced.replace('"summary 3"', f'"{NASTY}"'))
    config = ReportConfig(sweep="night", folder=str(sweep.parent), tracking=NoTracking())
    return (make_report(config) / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 390])
def test_the_page_is_read_in_light_and_dark_on_desks_and_phones(
    opened: Any, address: str, shots: Path, scheme: str, width: int
) -> None:
    """Headline first; no sideways scrolling of the page; text and pictures stand out from it."""
    page = opened(address, scheme, width)
    page.screenshot(path=shots / f"report-{scheme}-{width}.png", full_page=True)
    assert page.locator(".headline").inner_text().startswith("Of 3 configurations, 3 score higher")
    assert width == page.evaluate("document.documentElement.scrollWidth")
    colours = page.evaluate(
        """() => [document.body, document.querySelector('figure svg text')].map(
            (e, i) => getComputedStyle(e)[i ? 'fill' : 'backgroundColor'])"""
    )
    brightness = [sum(map(int, c.strip("rgb()").split(","))) / 3 for c in colours]
    assert abs(brightness[0] - brightness[1]) > 150
    assert (brightness[0] > 128) == (scheme == "light")


def test_nothing_is_fetched(opened: Any, address: str) -> None:
    """The page is one file."""
    page = opened("about:blank")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(address)
    assert [address] == fetched


def test_every_section_and_picture_is_there(opened: Any, address: str) -> None:
    """And every link of the navigation leads to one."""
    page = opened(address)
    headings = page.locator("section > h2").all_inner_texts()
    assert [
        "Scores",
        "Differences",
        "Length",
        "Correlations",
        "Training",
        "Side by side",
    ] == headings
    for link in page.locator("nav a").all():
        assert page.locator(f"section{link.get_attribute('href')}").count() == 1
    assert 5 == page.locator("figure svg").count()


def test_tables_sort_by_their_heads(opened: Any, address: str) -> None:
    """Numbers from the largest at first; what is missing stays last either way."""
    page = opened(address)
    table = page.locator("#scores table")
    names = table.locator("tbody td:first-child")
    table.get_by_role("button", name="composite").click()
    assert ["bleu joint", "meteor_rouge joint"] == names.all_inner_texts()[:2]
    table.get_by_role("button", name="composite").click()
    assert ["before training", "length joint"] == names.all_inner_texts()[:2]
    table.get_by_role("button", name="pass rate").click()
    assert "before training" == names.all_inner_texts()[-1]
    table.get_by_role("button", name="pass rate").click()
    assert "before training" == names.all_inner_texts()[-1]


def test_a_post_s_summaries_stand_side_by_side(opened: Any, address: str, shots: Path) -> None:
    """8 runs and the policy before training; chosen, paged through, filtered, sorted."""
    page = opened(address)
    rows = page.locator("#summaries tbody tr")
    assert 9 == rows.count()
    assert "post 0" == page.locator("#post-text").inner_text()
    page.locator("#later").click()
    assert "post 1" == page.locator("#post-text").inner_text()
    page.locator("#post-choice").select_option(index=5)
    assert "post 5" == page.locator("#post-text").inner_text()
    page.locator("#later").click()
    assert "post 0" == page.locator("#post-text").inner_text()
    page.locator("#filter").fill("rouge")
    assert 4 == rows.count()
    page.locator("#summaries").get_by_role("button", name="composite").click()
    first = rows.first.locator("td").all_inner_texts()
    assert ["meteor_rouge joint", "summary 0", "1", "64"] == first[:4]
    page.locator("#side-by-side").screenshot(path=shots / "side-by-side.png")


def test_a_post_is_text_whatever_is_in_it(opened: Any, address: str) -> None:
    """It neither ends the script nor begins one."""
    page = opened(address)
    page.locator("#post-choice").select_option(index=3)
    assert NASTY == page.locator("#post-text").inner_text()
    assert NASTY == page.locator("#summaries td.text").first.inner_text()
    assert "Sweep night" == page.title()
    assert 0 == page.locator("b").count()


SHORT = (
    "<script>taken=1</script>",
    "<img src=x onerror=taken=2>",
    "<svg onload=taken=3>",
    "\"><b onclick='taken=4'>",
)
"""Names, which stand in pictures too."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report in which every text that comes from elsewhere wants to run: posts, references,
    summaries, ids, names of rewards, models, runs and of the sweep, and why a run failed."""
    sweep = tmp_path_factory.mktemp("ui") / "multirun" / SHORT[2]
    scores = [score + 0.1 for score in BASE]
    write_run(sweep / "a", BASE, reward="length", before=BASE, model=SHORT[1])
    write_run(sweep / "b", scores, reward=SHORT[0], model=SHORT[1])
    write_run(sweep / "c", scores, reward=SHORT[2], strategy=SHORT[3], model=SHORT[1])
    write_run(sweep / "d", [], reward=SHORT[1], error=RuntimeError(HOSTILE[0]))
    for table in sweep.glob("*/tables/summaries_*.jsonl"):
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        texts = ("id", "post", "reference", "summary")
        changed = [r | dict.fromkeys(texts, HOSTILE[place]) for place, r in enumerate(rows)]
        table.write_text("".join(json.dumps(each) + "\n" for each in changed))
    config = ReportConfig(sweep=sweep.name, folder=str(sweep.parent), tracking=NoTracking())
    return (make_report(config) / "report.html").as_uri()


def test_nothing_runs_whatever_wants_to(opened: Any, hostile: str) -> None:
    """Neither at first nor after every post was shown and every table sorted; all of it is text."""
    page = opened(hostile)
    assert HOSTILE[0] in page.locator("#side-by-side").inner_text()
    for place in range(len(HOSTILE)):
        page.locator("#post-choice").select_option(index=place)
        assert page.locator("#post-text").inner_text() in HOSTILE
        assert page.locator("#summaries td.text").first.inner_text() in HOSTILE
    for button in page.locator("table.sortable th button").all():
        button.click()
    page.wait_for_timeout(200)
    assert page.evaluate("window.taken") is None
    assert "taken=1" in page.locator("#scores").inner_text()
    assert 0 == page.locator("img, iframe, b, script[src], [onload], [onerror]").count()
    assert SHORT[2] in page.title()
