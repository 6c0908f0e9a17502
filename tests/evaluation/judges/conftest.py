"""Judges that ask an endpoint on loopback, whose replies are scripted."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import FakeEndpoint, Script

from tersely.evaluation.judges import endpoint as endpoint_module
from tersely.evaluation.judges.config import EndpointConfig, GevalConfig
from tersely.evaluation.judges.verdicts import Judged


@pytest.fixture
def serve() -> Iterator[Callable[[Script], FakeEndpoint]]:
    """A script to an endpoint that follows it."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(FakeEndpoint(script))


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., EndpointConfig]:
    """The config of a judge (G-Eval unless `kind` says another) that asks an endpoint once a
    metric and wants no key; `options` change that."""

    def config(
        endpoint: FakeEndpoint, kind: type[EndpointConfig] = GevalConfig, **options: Any
    ) -> EndpointConfig:
        values: dict[str, Any] = {
            "base_url": endpoint.base_url,
            "model": "judge",
            "api_key_env": None,
            "rounds": 1,
            "max_missing_share": 1.0,
            "cache_folder": str(tmp_path / "verdicts"),
        }
        return kind(**(values | options))

    return config


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that failed is sent again at once."""
    monkeypatch.setattr(endpoint_module, "BACK_OFF_S", (0.001, 0.01))


@pytest.fixture
def item() -> Judged:
    """A summary to judge."""
    return Judged(
        "test-1", "my dog ran off and i found him in the park after an hour.", "my dog ran."
    )
