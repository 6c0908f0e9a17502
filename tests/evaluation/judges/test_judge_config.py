"""What a judge's config refuses, and that it has no place for a key."""

from dataclasses import asdict
from typing import Any

import pytest

from tersely.errors import ConfigError
from tersely.evaluation.judges.config import FactsConfig, GevalConfig, PanelConfig

GIVEN: dict[str, Any] = {"base_url": "http://127.0.0.1:8000/v1", "model": "m"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"base_url": ""}, "judge.base_url is empty"),
        ({"model": " "}, "judge.model is empty"),
        ({"base_url": "127.0.0.1:8000"}, "http://HOST:PORT/v1"),
        ({"rounds": 0}, "judge.rounds must be at least 1, got 0"),
        ({"attempts": 0}, "judge.attempts"),
        ({"max_concurrent": 0}, "judge.max_concurrent"),
        ({"timeout_s": 0.0}, "judge.timeout_s"),
        ({"patience_s": float("inf")}, "judge.patience_s"),
        ({"temperature": 2.5}, "judge.temperature"),
        ({"threshold": 1.5}, "judge.threshold"),
        ({"max_missing_share": 2.0}, "judge.max_missing_share"),
        ({"max_calls": -1}, "judge.max_calls"),
        ({"max_usd": float("inf")}, r"judge.max_usd must lie in 0 to 1e\+12, got inf; null"),
        ({"max_usd": 1.0}, "judge.usd_per_million_in"),
        ({"max_usd": 1.0, "usd_per_million_in": 0.25}, "judge.usd_per_million_out"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        GevalConfig(**(GIVEN | values))


@pytest.mark.parametrize(
    "values",
    [
        {"api_key_env": "sk-abc123"},
        {"base_url": "http://sk-abc123@host/v1"},
        {"base_url": "http://host/v1?key=sk-abc123"},
    ],
)
def test_a_key_in_the_config_is_refused_and_not_repeated(values: dict[str, str]) -> None:
    """The config is kept with the run, and so would the key be."""
    with pytest.raises(ConfigError, match="environment variable") as raised:
        PanelConfig(**(GIVEN | values))
    assert "abc123" not in str(raised.value)


def test_a_key_that_is_not_there_is_missed_when_the_judge_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not before: a config can be read on another machine."""
    monkeypatch.delenv("TEST_KEY", raising=False)
    config = GevalConfig(**GIVEN, api_key_env="TEST_KEY")
    with pytest.raises(ConfigError, match="TEST_KEY"):
        config.build()
    monkeypatch.setenv("TEST_KEY", "sk-abc123")
    judge = config.build()
    assert "geval m" == judge.name
    assert "abc123" not in f"{asdict(config)} {config!r} {judge!r}"


def test_a_threshold_lies_in_the_scores() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        FactsConfig(threshold=-0.1)
