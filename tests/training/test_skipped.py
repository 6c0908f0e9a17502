"""Updates that were left out: how they are counted, what is kept of them, and when it is enough."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import TrainingDiverged
from tersely.records import Batch, Example, Group, Prompt, Rollout
from tersely.training.skipped import Skipped

ADVANTAGES = [[1.0, -1.0], [0.5, -0.5]]


def batch(step: int) -> Batch:
    """Two prompts with two completions each."""
    groups = tuple(
        Group(
            Prompt(Example(f"post {p}", "words", ("a reference",)), (1, 2, 3 + p)),
            (
                Rollout((7, 8, 2), (-1.5, -0.25, -2.0), "stop", step, "ein Wörtchen"),
                Rollout((9,), (-3.0,), "length", step, "word"),
            ),
        )
        for p in range(2)
    )
    return Batch(step, groups)


def note(
    skipped: Skipped, left_out: list[bool], batch: Batch, advantages: list[list[float]]
) -> None:
    skipped.count(left_out)
    skipped.keep(batch, advantages)


def strict(text: str) -> Any:
    """JSON as its standard has it, which Python's own words for no number are no part of."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_steps_without_one_leave_nothing(tmp_path: Path) -> None:
    skipped = Skipped(tmp_path / "skipped", 3)
    for step in range(5):
        note(skipped, [False], batch(step), ADVANTAGES)

    assert 0 == skipped.total
    assert not (tmp_path / "skipped").exists()


def test_the_batch_of_one_is_kept_with_all_that_the_update_had(tmp_path: Path) -> None:
    """By its step, counted from 1."""
    skipped = Skipped(tmp_path / "deep" / "skipped", 3)

    note(skipped, [True], batch(41), ADVANTAGES)

    assert 1 == skipped.total
    (file,) = (tmp_path / "deep" / "skipped").iterdir()
    assert "step_000042.json" == file.name
    kept = strict(file.read_text())
    assert 42 == kept["step"]
    assert ["post 0", "post 1"] == [group["example"] for group in kept["groups"]]
    assert [1, 2, 4] == kept["groups"][1]["prompt_ids"]
    assert {
        "token_ids": [7, 8, 2],
        "sampler_logprobs": [-1.5, -0.25, -2.0],
        "policy_version": 41,
        "text": "ein Wörtchen",
        "advantage": 0.5,
    } == kept["groups"][1]["rollouts"][0]


def test_what_is_no_number_can_be_read_back(tmp_path: Path) -> None:
    """It is what one looks for there. JSON has no word for it: other readers refuse Python's."""
    skipped = Skipped(tmp_path, 3)

    note(skipped, [True], batch(0), [[math.nan, -1.0], [0.5, math.inf]])

    kept = strict((tmp_path / "step_000001.json").read_text())
    advantages = [
        [rollout["advantage"] for rollout in group["rollouts"]] for group in kept["groups"]
    ]
    assert -1.0 == advantages[0][1]
    assert not isinstance(advantages[0][0], float)
    assert not isinstance(advantages[1][1], float)


def test_each_is_said_with_its_step_and_its_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    skipped = Skipped(tmp_path, 3)
    with caplog.at_level(logging.WARNING):
        note(skipped, [True, False, True], batch(6), ADVANTAGES)
        note(skipped, [False] * 3, batch(7), ADVANTAGES)

    (said,) = [record.getMessage() for record in caplog.records]
    assert "step 7: loss or gradient was not finite, 2 of its updates left out" in said
    assert str(tmp_path / "step_000007.json") in said


def test_a_row_of_them_is_a_run_that_has_diverged(tmp_path: Path) -> None:
    """Three are borne, the fourth is not; it says what to do and has kept all four."""
    skipped = Skipped(tmp_path, 3)
    for step in range(3):
        note(skipped, [True], batch(step), ADVANTAGES)

    with pytest.raises(TrainingDiverged) as caught:
        note(skipped, [True], batch(3), ADVANTAGES)

    said = str(caught.value)
    for part in (
        "4 updates in a row, up to step 4",
        str(tmp_path),
        "Lower trainer.learning_rate",
        "trainer.max_skipped_updates",
    ):
        assert part in said
    assert 4 == len(list(tmp_path.iterdir()))


def test_a_step_that_makes_its_updates_ends_the_row(tmp_path: Path) -> None:
    """What was left out before is counted on."""
    skipped = Skipped(tmp_path, 1)
    for step in range(0, 10, 2):
        note(skipped, [True], batch(step), ADVANTAGES)
        note(skipped, [False], batch(step + 1), ADVANTAGES)

    assert 5 == skipped.total


def test_none_is_borne_where_none_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="1 updates in a row"):
        note(Skipped(tmp_path, 0), [True], batch(0), ADVANTAGES)


def test_all_updates_of_a_step_count(tmp_path: Path) -> None:
    """Two steps of two updates each, none of which was made, are four in a row."""
    skipped = Skipped(tmp_path, 3)
    note(skipped, [True, True], batch(0), ADVANTAGES)
    with pytest.raises(TrainingDiverged, match="4 updates in a row"):
        note(skipped, [True, True], batch(1), ADVANTAGES)


def test_one_that_is_made_between_them_breaks_the_row(tmp_path: Path) -> None:
    """Six of eight updates of a step are left out, at most three of them in a row."""
    skipped = Skipped(tmp_path, 3)
    note(skipped, [True, True, True, False, True, False, True, True], batch(0), ADVANTAGES)
    assert 6 == skipped.total
    with pytest.raises(TrainingDiverged, match="4 updates in a row, up to step 2"):
        note(skipped, [True, True], batch(1), ADVANTAGES)
