"""A whole family of comparisons: what is left when they are judged together."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Adjusted:
    """A p-value among others."""

    p: float
    adjusted: float
    """The smallest level at which the whole family's procedure would still reject it."""
    survives: bool


def holm(p_values: Mapping[str, float], alpha: float = 0.05) -> dict[str, Adjusted]:
    """Named p-values, adjusted so that any false rejection in the family has probability `alpha`.

    `adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j))` for the ordered p-values
    p_(1) <= ... <= p_(m). Holm, 1979, "A Simple Sequentially Rejective Multiple Test Procedure";
    no assumption about how the tests depend on each other. In the order of `p_values`.

    Raises ValueError on a p-value outside 0 to 1.
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"the p-value of {name!r} is {p}, which is not between 0 and 1")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {
        name: Adjusted(p, adjusted[name], adjusted[name] <= alpha) for name, p in p_values.items()
    }
