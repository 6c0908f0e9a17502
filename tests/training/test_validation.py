"""Which policy is the best, worked by hand."""

import logging
import math

import pytest

from tersely.errors import CheckpointError, ConfigError
from tersely.training.config import TrainerConfig
from tersely.training.validation import Validation, check_best_by


def looked(
    values: list[float], *, every: int = 1, steps: int | None = None, by: str = "rouge_l"
) -> tuple[Validation, list[int]]:
    """What a stage of looks that measure `values` came to, and after which steps it kept one."""
    trainer = TrainerConfig(steps=9, evaluate_every=every, best_by=by, patience=2)
    measured, kept = iter(values), list[int]()
    validation = Validation(trainer, lambda: {by: next(measured)}, kept.append)
    for step in range(1, (steps or len(values)) + 1):
        validation.after(step)
    return validation, kept


def test_as_good_is_not_better_and_two_looks_without_a_better_one_end_the_stage() -> None:
    validation, kept = looked([0.2, 0.5, 0.4, 0.5])
    assert [1, 2] == kept
    assert (2, True, True) == (validation.best_step, validation.ended, validation.goes_back)


def test_a_distance_is_better_the_smaller_it_is() -> None:
    validation, kept = looked([9.0, 4.0, 6.0], by="length_mean_abs_error")
    assert [1, 2] == kept
    assert not validation.ended


def test_it_goes_back_from_steps_that_nobody_looked_at() -> None:
    """Best after step 2 of 3, with a look after every second step."""
    validation, kept = looked([0.5], every=2, steps=3)
    assert [2] == kept
    assert validation.goes_back
    assert not looked([0.5], every=2, steps=2)[0].goes_back
    assert not looked([], every=2, steps=1)[0].goes_back


def test_what_is_no_number_is_never_the_best() -> None:
    validation, kept = looked([math.nan, 0.1, math.nan])
    assert [2] == kept
    assert 2 == validation.best_step


def test_a_best_that_cannot_be_kept_is_not_the_best(caplog: pytest.LogCaptureFixture) -> None:
    """0.5 cannot be written; 0.4 is then better than the 0.3 that was."""
    kept: list[int] = []

    def keep(step: int) -> None:
        if step == 2:
            raise CheckpointError("no room")
        kept.append(step)

    measured = iter([0.3, 0.5, 0.4])
    validation = Validation(
        TrainerConfig(steps=9, evaluate_every=1), lambda: {"reward": next(measured)}, keep
    )
    with caplog.at_level(logging.ERROR):
        for step in (1, 2, 3):
            validation.after(step)

    assert [1, 3] == kept
    assert "no room. Training goes on" in caplog.text


def test_a_name_that_is_not_measured_is_refused() -> None:
    trainer = TrainerConfig(steps=9, evaluate_every=1, best_by="rouge-l")
    with pytest.raises(ConfigError, match=r"best_by=rouge-l .* reward, rouge_l"):
        check_best_by(trainer, {"reward", "rouge_l"})
    with pytest.raises(ConfigError, match=r"set trainer\.evaluate_every"):
        TrainerConfig(steps=9, best_by="rouge_l")


def test_a_length_is_no_quality_and_its_distance_from_the_target_is_one() -> None:
    measured = {"reward", "length_mean", "length_mean_abs_error"}
    with pytest.raises(ConfigError, match=r"best_by=length_mean is no quality"):
        check_best_by(TrainerConfig(steps=9, evaluate_every=1, best_by="length_mean"), measured)
    check_best_by(
        TrainerConfig(steps=9, evaluate_every=1, best_by="length_mean_abs_error"), measured
    )
