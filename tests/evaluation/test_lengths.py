"""Statistics of lengths, worked by hand."""

import pytest

from tersely.evaluation.lengths import length_metrics


def test_statistics_of_five_lengths() -> None:
    """40 59 64 69 128 with the target 64.

    Mean 360 / 5 = 72; deviations -32 -13 -8 -3 56, squares 1024 169 64 9 3136, sum 4402, std
    sqrt(880.4) = 29.671535. Distances to 64: 24 5 0 5 64, mean 19.6; 3 of 5 are within 5.
    Percentile p lies at 0.01 p * 4 of the sorted values: 90 at 3.6: 69 + 0.6 * 59 = 104.4; 95 at
    3.8: 69 + 0.8 * 59 = 116.2; 99 at 3.96: 69 + 0.96 * 59 = 125.64.
    """
    assert length_metrics([128, 64, 40, 69, 59], target=64) == pytest.approx(
        {
            "length_mean": 72.0,
            "length_std": 29.671535,
            "length_min": 40.0,
            "length_p50": 64.0,
            "length_p90": 104.4,
            "length_p95": 116.2,
            "length_p99": 125.64,
            "length_max": 128.0,
            "length_mean_abs_error": 19.6,
            "within_5_share": 0.6,
        }
    )


def test_the_window_is_five_on_either_side_and_both_ends_count() -> None:
    assert 0.5 == length_metrics([58, 59, 69, 70], target=64)["within_5_share"]


def test_one_length_has_no_spread() -> None:
    metrics = length_metrics([30], target=64)
    assert (30.0, 0.0, 30.0, 34.0) == (
        metrics["length_mean"],
        metrics["length_std"],
        metrics["length_p99"],
        metrics["length_mean_abs_error"],
    )
