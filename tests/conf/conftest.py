"""Composing runs as train.py does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from tersely.config import register

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def composed() -> Iterator[Callable[..., DictConfig]]:
    """Overrides to the composed tree."""
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield lambda *overrides: compose("config", overrides=list(overrides))
