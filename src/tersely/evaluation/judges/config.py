"""The choices of the group `judge`. Apart from the judges, so that composing a run is light."""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from tersely.errors import ConfigError
from tersely.evaluation.judges.verdicts import Judge

NO_ADDRESS = "judge.base_url is no address of an endpoint; write it as http://HOST:PORT/v1"
"""Says nothing of the value: there may be a secret in it."""

LONGEST_S = 1e6
"""Seconds; eleven days."""
LARGEST_BUDGET = 1e12
"""Calls, or dollars."""


def check_base_url_is_public(base_url: str) -> None:
    """Raises `ConfigError` for an address with a secret in it."""
    try:
        parts = urlsplit(base_url)
        _ = parts.port  # which is read only now
    except ValueError:
        raise ConfigError(NO_ADDRESS) from None
    if parts.username or parts.password or parts.query:
        # Not repeated: what stands there may be a secret.
        raise ConfigError(
            "judge.base_url has a user, a password or a query, which would be kept with the run; "
            "put the key into an environment variable and its name into judge.api_key_env"
        )


def check_key_name(name: str | None) -> None:
    """Raises `ConfigError` for what is no name of an environment variable; None names none."""
    if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", name):
        # Not repeated: it may be the key.
        raise ConfigError(
            "judge.api_key_env is not the name of an environment variable in capitals; it takes "
            "the name, never the key itself, for instance OPENAI_API_KEY"
        )


@dataclass
class JudgeConfig:
    """A choice of the group `judge`; a subclass adds its values and builds the judge."""

    def build(self) -> Judge:
        """The judge. Raises `ConfigError` where it cannot work on this machine, so that a run
        knows before it has cost anything."""
        raise NotImplementedError


@dataclass
class NoJudge(JudgeConfig):
    """`judge=none`: summaries are not judged."""

    def build(self) -> Judge:
        from tersely.evaluation.judges.offline import NoneJudge

        return NoneJudge()


@dataclass
class ScoringConfig(JudgeConfig):
    """What all choices that judge have in common."""

    threshold: float = 0.5
    """A round passes when all four metrics reach it."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ConfigError(
                f"judge.threshold must lie in 0 to 1, as scores do, got {self.threshold}; the "
                "study's is 0.5"
            )


@dataclass
class FactsConfig(ScoringConfig):
    """`judge=facts`: by the facts of generated posts; offline and free. Other data has none, and
    is then not judged, which the log says."""

    def build(self) -> Judge:
        from tersely.evaluation.judges.offline import FactsJudge

        return FactsJudge(self.threshold)


@dataclass
class EndpointConfig(ScoringConfig):
    """What choices that ask an endpoint of the OpenAI protocol have in common."""

    base_url: str = ""
    """Address of the endpoint up to and with its version, as in http://127.0.0.1:8000/v1."""
    model: str = ""
    """Its name for the model that judges."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """Name of the environment variable that has the key; null where none is wanted."""
    rounds: int = 5
    """How often each summary is judged, each time with another seed."""
    temperature: float | None = 1.0
    """Of the judge's sampling; null leaves it to the endpoint. With 0 rounds are alike."""
    max_tokens: int = 1024
    """Most tokens of a verdict, thinking included; one that is cut off counts as unreadable."""
    max_concurrent: int = 32
    """Most requests at a time; fewer while the endpoint says that it is too much (429)."""
    timeout_s: float = 120.0
    """Seconds that one request has."""
    patience_s: float = 300.0
    """Seconds for which a request is sent again while it fails; then its verdict is missing, or,
    if the endpoint answered nothing at all in that time, the evaluation ends with an error."""
    attempts: int = 3
    """How often a verdict that cannot be read is asked for; then it is missing."""
    max_missing_share: float = 0.02
    """More missing verdicts than this share are an error. Those that the budget did not reach
    do not count."""
    max_calls: int | None = None
    """Budget: most requests; null for no limit. What it does not reach stays without a score."""
    max_usd: float | None = None
    """Budget in dollars, for which the price has to be known; null for no limit."""
    usd_per_million_in: float | None = None
    """Price of a million tokens of a prompt."""
    usd_per_million_out: float | None = None
    """Price of a million tokens of an answer, thinking included."""
    cache_folder: str = "mlruns/verdicts"
    """Where verdicts are kept, so that judging again costs nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_endpoint()
        check_key_name(self.api_key_env)
        self._check_numbers()
        self._check_budget()

    def _check_endpoint(self) -> None:
        for name, meant in (
            ("base_url", "the address of an endpoint, as in http://127.0.0.1:8000/v1"),
            ("model", "the endpoint's name for the model that judges"),
        ):
            if not getattr(self, name).strip():
                raise ConfigError(
                    f"judge.{name} is empty, and this judge asks an endpoint: set judge.{name} to "
                    f"{meant}, or take judge=geval_openai, or judge=facts, which asks nobody"
                )
        # First, because this check repeats nothing of it.
        check_base_url_is_public(self.base_url)
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(NO_ADDRESS)
        if not self.cache_folder.strip():
            raise ConfigError(
                "judge.cache_folder is empty, and verdicts would be paid for again; set it to a "
                "folder, the default is mlruns/verdicts"
            )

    def _check_numbers(self) -> None:
        # Attempts and rounds have seeds of their own, see `asking.SEEDS_PER_ROUND`.
        for name, most in (
            ("rounds", 1000),
            ("max_tokens", 1_000_000),
            ("max_concurrent", 10_000),
            ("attempts", 1000),
        ):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(
                    f"judge.{name} must be at least 1, got {getattr(self, name)}; the most that "
                    f"it takes is {most}"
                )
        for name in ("timeout_s", "patience_s"):
            if not 0 < getattr(self, name) <= LONGEST_S:
                raise ConfigError(
                    f"judge.{name} must be above 0, got {getattr(self, name)}; the most is "
                    f"{LONGEST_S:g} seconds"
                )
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ConfigError(f"judge.temperature must lie in 0 to 2, got {self.temperature}")
        if not 0 <= self.max_missing_share <= 1:
            raise ConfigError(
                f"judge.max_missing_share is a share in 0 to 1, got {self.max_missing_share}"
            )

    def _check_budget(self) -> None:
        prices = ("usd_per_million_in", "usd_per_million_out")
        for name in ("max_calls", "max_usd", *prices):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= LARGEST_BUDGET:
                raise ConfigError(
                    f"judge.{name} must lie in 0 to {LARGEST_BUDGET:g}, got {value}; null sets no "
                    "limit or no price"
                )
        if self.max_usd is not None and any(getattr(self, name) is None for name in prices):
            raise ConfigError(
                f"judge.max_usd={self.max_usd} cannot be kept without the price of "
                f"{self.model}: set judge.usd_per_million_in and judge.usd_per_million_out, or "
                "judge.max_calls instead"
            )

    def key(self) -> str | None:
        """The key, from the environment; None where none is wanted. It is kept nowhere else.

        Raises `ConfigError` if the variable is not set.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"the judge's key is looked for in the environment variable {self.api_key_env} "
                "(judge.api_key_env), which is not set; set it, or set judge.api_key_env=null "
                "for an endpoint that wants none"
            )
        return key


@dataclass
class GevalConfig(EndpointConfig):
    """`judge=geval` and its kin: DeepEval's G-Eval, a request for each metric."""

    def build(self) -> Judge:
        if find_spec("deepeval") is None:
            raise ConfigError(
                "judge=geval needs DeepEval, which is not installed here. In a clone, "
                "`.venv/bin/python -m pip install --constraint constraints.txt --editable "
                "'.[hub,judge]'` has it; or take judge=panel, judge=facts or judge=none"
            )
        key = self.key()
        from tersely.evaluation.judges.geval import GevalJudge

        return GevalJudge(self, key)


@dataclass
class PanelConfig(EndpointConfig):
    """`judge=panel`: one request for all four metrics."""

    def build(self) -> Judge:
        from tersely.evaluation.judges.panel import PanelJudge

        return PanelJudge(self, self.key())
