"""Folder names of sweeps and jobs."""

import re

import pytest

from tersely.sweep import job_slug, names, sweep_name
from tersely.sweep.names import SWEEP_VARIABLE


@pytest.mark.parametrize(
    ("overrides", "slug"),
    [
        ([], "default"),
        (["reward=rouge", "strategy=joint"], "reward=rouge,strategy=joint"),
        (["strategy=joint", "reward=rouge"], "reward=rouge,strategy=joint"),
        (["+trainer.lr=1e-4"], "trainer.lr=1e-4"),
    ],
)
def test_a_plain_job_is_named_by_its_overrides(overrides: list[str], slug: str) -> None:
    """Sorted, without the plus of a new key."""
    assert slug == job_slug(overrides)


@pytest.mark.parametrize(
    "override",
    [
        "data.path=../shared/data/reddit_tifu",
        "prompt.text='two words'",
        "rollout.workers=[http://a:1,http://b:2]",
        "~tracking",
        "x=" + "long" * 100,
        "x=é",
    ],
)
def test_any_job_has_a_name_that_a_folder_can_have(override: str) -> None:
    """No slash, no space, at most 80 characters, and a digest of what was cut."""
    slug = job_slug([override])
    assert re.fullmatch(r"[A-Za-z0-9=,._-]{1,71}-[0-9a-f]{8}", slug)


def test_jobs_that_clean_to_the_same_text_keep_apart() -> None:
    """`a/b` and `a:b` both clean to `a-b`."""
    assert job_slug(["x=a/b"]) != job_slug(["x=a:b"]) != job_slug(["x=a-b"])


def test_long_names_that_begin_alike_keep_apart() -> None:
    """What is cut off still counts."""
    assert job_slug(["x=" + "a" * 200]) != job_slug(["x=" + "a" * 201])


def test_a_sweep_has_one_name_in_all_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call decides, and leaves it in the environment that processes inherit."""
    monkeypatch.setenv(SWEEP_VARIABLE, "")
    name = sweep_name()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{3}", name)
    monkeypatch.setattr(names, "datetime", None)  # another look at the clock would fail
    assert name == sweep_name()


def test_a_name_from_outside_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's before the clock's, the given one before both."""
    monkeypatch.setenv(SWEEP_VARIABLE, "night")
    assert "night" == sweep_name()
    assert "day" == sweep_name("day")
    assert "day" == sweep_name()


@pytest.mark.parametrize("given", ["a/b", ".."])
def test_a_given_name_stays_below_multirun(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash or a parent folder would lead elsewhere."""
    monkeypatch.setenv(SWEEP_VARIABLE, "")
    assert re.fullmatch(r"[A-Za-z0-9=,._-]+-[0-9a-f]{8}", sweep_name(given))
