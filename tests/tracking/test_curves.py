"""A run's numbers as pictures."""

from pathlib import Path

from tersely.tracking import NoTracking
from tersely.tracking.curves import draw_curves, read_series
from tersely.tracking.drawing import running_median

STEP = {
    "reward/mean": 0.4,
    "reward/std_within_group": 0.1,
    "reward/zero_std_share": 0.0,
    "reward/rouge": 0.5,
    "reward/rouge_std_within_group": 0.1,
    "length/mean": 70.0,
    "length/min": 20.0,
    "length/max": 128.0,
    "rollout/stopped_share": 0.9,
    "loss/total": 0.01,
    "update/gradient_norm": 1.0,
    "loss/kl_reference": 0.02,
    "loss/ratio_mean": 1.0,
    "loss/clip_share": 0.0,
    "time/sampling": 1.0,
    "time/waiting": 0.1,
    "time/updating": 0.8,
}


def test_every_picture_of_a_whole_run(tmp_path: Path) -> None:
    """One PNG a subject, on a long run (with running medians) and with the test's lengths."""
    with NoTracking().build(tmp_path, "a") as run:
        run.metrics({"test/before/rouge_l": 0.2}, step=0)
        for step in range(60):
            run.metrics({key: value + step / 100 for key, value in STEP.items()}, step)
        run.table("summaries_before", [{"length": 90}, {"length": 40}])
        run.table("summaries_after", [{"length": 62}, {"length": 66}])
    pictures = draw_curves(tmp_path, target=64)
    names = ["reward", "length", "loss", "drift", "seconds", "test_lengths"]
    assert [tmp_path / "curves" / f"{name}.png" for name in names] == pictures
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures)


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    """A run with rewards alone has one picture; one that measured nothing has none."""
    with NoTracking().build(tmp_path / "a", "a") as run:
        run.metrics({"reward/mean": 0.4}, step=1)
    assert [tmp_path / "a" / "curves" / "reward.png"] == draw_curves(tmp_path / "a", target=64)
    assert [] == draw_curves(tmp_path / "none", target=64)


def test_the_later_value_of_a_step_counts(tmp_path: Path) -> None:
    """A step that was measured again after an interruption."""
    with NoTracking().build(tmp_path, "a") as run:
        run.metrics({"reward/mean": 1.0}, step=1)
        run.metrics({"reward/mean": 2.0}, step=1)
    assert {"reward/mean": {1: 2.0}} == read_series(tmp_path)


def test_the_running_median_is_shorter_at_the_ends() -> None:
    """Window 1: of (1, 2), (1, 2, 6), (2, 6, 7), (6, 7)."""
    assert [1.5, 2.0, 6.0, 6.5] == running_median([1.0, 2.0, 6.0, 7.0], 1)


def test_the_running_median_keeps_a_jump() -> None:
    """Where a stage begins the curve steps up and does not slope."""
    assert [0.0] * 5 + [1.0] * 5 == running_median([0.0] * 5 + [1.0] * 5, 2)
