"""What becomes of a finding: metrics, log, tag, error; and what a resumed run remembers."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from watched_stages import a_setting, a_step

from tersely.errors import CheckFailed
from tersely.training.checks.all import CHECKS, Checks
from tersely.training.checks.examples import METRIC_MISSING
from tersely.training.checks.findings import Findings
from tersely.training.checks.seen import Finding

DOCS = Path(__file__).parents[3] / "docs"
CUT = {"rollout/stopped_share": 0.5}


class Tags:
    """A tracker that keeps tags."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def tags(self, values: Mapping[str, str]) -> None:
        self.kept |= values


def test_a_finding_is_said_once_and_is_a_metric_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checks = Checks(a_setting())
    logged = [checks.after_step(a_step(step, metrics=CUT)) for step in range(1, 26)]

    assert [{"checks/found": 0.0}] * 9 == logged[:9]
    assert [{"checks/found": 1.0, "checks/completions_cut": 1.0}] * 16 == logged[9:]
    (said,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert said.getMessage().startswith(
        "self-check completions_cut, step 10 of stage joint: over the last 10 steps 50% of the "
        "completions were cut at rollout.max_tokens=16"
    )


def test_the_tag_names_what_all_stages_have_found_each_once() -> None:
    tags = Tags()
    findings = Findings(tags)
    for name in ("no_spread", "same_text", "no_spread"):
        findings.add(Finding(name, "seen."), "step 1 of stage any")
        findings.add(None, "test split before training")
    assert {"checks": "no_spread,same_text"} == tags.kept
    findings.finish()
    assert {"checks": "no_spread,same_text"} == tags.kept


def test_a_sound_run_is_tagged_so_at_its_end_and_not_before() -> None:
    tags = Tags()
    findings = Findings(tags)
    Checks(a_setting(), findings).after_step(a_step(1))
    assert {} == tags.kept
    findings.finish()
    assert {"checks": "none"} == tags.kept


def test_strict_makes_it_an_error() -> None:
    for strict in (False, True):
        checks = Checks(a_setting(posts=100, prompts=10), Findings(strict=strict))
        checks.enforce()
        assert 1.0 == checks.after_step(a_step(1))["checks/prompts_cut"]
        if strict:
            with pytest.raises(CheckFailed, match="prompts_cut, step 1 of stage joint: 90 of 100"):
                checks.enforce()
        else:
            checks.enforce()


def test_the_error_names_all_that_the_step_has_found() -> None:
    checks = Checks(a_setting(posts=100, prompts=10), Findings(strict=True))
    checks.after_step(a_step(1, version=9))
    with pytest.raises(CheckFailed, match=r"sync_not_taken, step 1 .* prompts_cut, step 1"):
        checks.enforce()


def test_a_resumed_run_finds_the_same_at_the_same_step(caplog: pytest.LogCaptureFixture) -> None:
    """Every step is seen by another process; what was said is not said again, and the tag stays.

    Cut from step 1: found at 10. Clipped from step 1: at 20."""
    clipped = {"update/gradient_norm": 3.0, "update/clipped_share": 1.0}
    steps = [a_step(n, metrics=CUT | clipped) for n in range(1, 31)]
    whole = Checks(a_setting())
    expected = [whole.after_step(seen) for seen in steps]
    caplog.clear()

    actual, state = [], Checks(a_setting()).state()
    for seen in steps:
        tags = Tags()
        checks = Checks(a_setting(), Findings(tags))
        checks.restore(json.loads(json.dumps(state)))
        actual.append(checks.after_step(seen))
        state = checks.state()

    assert expected == actual
    assert 2.0 == actual[19]["checks/found"]
    assert {"checks": "completions_cut,gradient_clipped"} == tags.kept
    assert 2 == len([record for record in caplog.records if record.levelno == logging.WARNING])


def test_names_are_unique_and_every_check_is_documented() -> None:
    names = [*(check.name for check in CHECKS), METRIC_MISSING]
    assert len(names) == len(set(names))
    text = (DOCS / "checks.md").read_text()
    assert names == [
        line.removeprefix("### `").partition("`")[0]
        for line in text.splitlines()
        if line.startswith("### `")
    ]
    metrics = (DOCS / "metrics.md").read_text()
    assert "`checks/found`" in metrics
    assert "`checks/<name>`" in metrics


def test_a_run_says_what_was_found_in_a_stage_that_another_one_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and with `checks.strict=true` as an error, as if it had trained the stage itself."""
    first, tags = Findings(), Tags()
    first.add(Finding("no_spread", "All rewards are equal."), "step 9 of stage length")
    first.save(tmp_path)

    second = Findings(tags, known=["same_text"])
    second.take_over(tmp_path)
    second.take_over(tmp_path)

    assert {"checks": "same_text,no_spread"} == tags.kept
    assert 1 == caplog.text.count("stage length, trained earlier: All rewards are equal.")
    with pytest.raises(CheckFailed, match="All rewards are equal"):
        Findings(strict=True).take_over(tmp_path)
