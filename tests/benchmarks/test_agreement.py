"""Panel against G-Eval, worked by hand."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "agreement.py"
    spec = importlib.util.spec_from_file_location("agreement", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_one_judge_lacks_is_left_out(agreement: ModuleType) -> None:
    """Pairs (.2, .4), (.6, .4), (.7, .7): differences -.2, .2, 0, their mean 0, absolute mean .133,
    standard deviation .2, standard error .2 / sqrt(3) = .115. With means .5 and .5, centred
    (-.3, .1, .2) and (-.1, -.1, .2): r = (.03 - .01 + .04) / sqrt(.14 * .06) = .655."""
    panel, geval = [0.2, None, 0.6, 0.7, 0.9], [0.4, 0.3, 0.4, 0.7, None]
    assert {
        "n": 3,
        "r": 0.655,
        "panel_minus_geval": 0.0,
        "standard_error": 0.115,
        "apart": 0.133,
    } == agreement.compared(panel, geval)


def test_too_few_pairs_give_no_number(agreement: ModuleType) -> None:
    assert {"n": 1} == agreement.compared([0.5, None], [0.5, 0.5])
