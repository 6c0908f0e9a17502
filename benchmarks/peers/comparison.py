"""One peer beside the others: how far its gradient is off, and what it costs."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open


def gradient_error(reference: Path, other: Path) -> float:
    """`|other - reference| / |reference|`, L2 over all weights together.

    Raises `ValueError` where the two are not gradients of the same weights.
    """
    with safe_open(reference, "numpy") as ours, safe_open(other, "numpy") as theirs:
        missing = set(ours.keys()) ^ set(theirs.keys())
        if missing:
            raise ValueError(f"only one of two gradients has {', '.join(sorted(missing))}")
        squares = difference = 0.0
        for name in ours.keys():  # noqa: SIM118 - a file, not a dict
            array = ours.get_tensor(name)
            squares += _squares(array)
            difference += _squares(theirs.get_tensor(name) - array)
    return float(np.sqrt(difference / squares))


def with_ratios(rows: dict[str, dict[str, Any]], own: str) -> dict[str, dict[str, Any]]:
    """Each measured row with its time and memory over those of row `own`.

    Ratios are None where `own` has failed; rows that have failed stay as they are.
    """
    base = rows[own]
    return {
        name: row
        if "error" in row
        else row
        | {
            "time_ratio": _ratio(row, base, "seconds"),
            "memory_ratio": _ratio(row, base, "working_memory_mb"),
        }
        for name, row in rows.items()
    }


def _ratio(row: dict[str, Any], base: dict[str, Any], key: str) -> float | None:
    return None if "error" in base else round(row[key] / base[key], 2)


def _squares(array: np.ndarray) -> float:
    return float(np.square(array).sum(dtype=np.float64))
