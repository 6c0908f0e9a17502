"""How long summaries are, and how well they keep to the target."""

from collections.abc import Sequence

TOLERANCE = 5
"""A summary is on target within this many tokens, as in the study's tables."""


def length_metrics(lengths: Sequence[int], target: int) -> dict[str, float]:
    """Statistics of lengths in tokens. `std` is the population's; percentiles interpolate
    linearly between the two nearest values, as NumPy's default does."""
    import numpy as np

    values = np.asarray(lengths, dtype=np.float64)
    percentiles = {f"length_p{p}": float(np.percentile(values, p)) for p in (50, 90, 95, 99)}
    off = np.abs(values - target)
    return {
        "length_mean": float(values.mean()),
        "length_std": float(values.std()),
        "length_min": float(values.min()),
        **percentiles,
        "length_max": float(values.max()),
        "length_mean_abs_error": float(off.mean()),
        f"within_{TOLERANCE}_share": float((off <= TOLERANCE).mean()),
    }
