"""What a rollout engine is: prompts and weights in, groups of rollouts out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tersely.errors import ConfigError
from tersely.policy.tuning import TuningConfig
from tersely.records import Group, Prompt

if TYPE_CHECKING:
    from tersely.policy.load import Policy


TEMPERATURES = (0.01, 100.0)
"""Least and greatest: beyond them float32 has one token only, or all of them alike."""

LEAST_TOP_P = 1e-6
"""Below it float32 may keep no token at all."""

MOST = {"group_size": 10_000, "max_tokens": 1_000_000}


def check_temperature(key: str, temperature: float) -> None:
    """Raise `ConfigError` unless one can sample at it."""
    least, most = TEMPERATURES
    if not least <= temperature <= most:
        raise ConfigError(
            f"{key} must be above 0, got {temperature}: below {least:g} all completions of a group "
            f"are the same and nothing can be learned, above {most:g} they are noise; the study "
            "uses 1"
        )


def check_top_p(key: str, top_p: float) -> None:
    """Raise `ConfigError` unless it keeps a token and no more than all."""
    if not LEAST_TOP_P <= top_p <= 1:
        raise ConfigError(f"{key} must lie in {LEAST_TOP_P:g} to 1, got {top_p}; 1 keeps all")


class Snapshot(NamedTuple):
    """Weights at one moment. Arrays are immutable, so holding a snapshot copies nothing."""

    parameters: Mapping[str, Any]
    """The parameter tree of the policy."""
    version: int
    """Optimizer updates that these weights have seen."""


class Sampler(Protocol):
    """A rollout engine."""

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """Sample the groups of one step, one a prompt, in the order of the prompts.

        The same prompts, weights and step give the same groups. Raises `RolloutError`.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers worth a curve, after a call of `sample`; by the names they are logged under."""
        return {}

    def close(self) -> None:
        """Let go of everything that the engine holds; a `sample` in another thread is cut short
        where that can be done. May be called twice."""
        return None


@dataclass
class RolloutConfig:
    """What every rollout engine is asked for."""

    group_size: int = 8
    """Completions sampled for each prompt."""
    max_tokens: int = 512
    """Longest completion, in tokens, the end-of-turn token included."""
    temperature: float = 1.0
    """Logits are divided by this before sampling and before scoring; above 0."""
    top_p: float = 1.0
    """Nucleus of this probability is sampled from; 1 keeps every token."""
    max_staleness: int = 1
    """Optimizer updates that may lie between the weights that sample a rollout and those that
    first train on it. 0 samples and updates in turn; what is allowed is used, to sample ahead."""
    sync_every: int = 1
    """Steps after which the sampler gets new weights."""

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ConfigError(
                f"rollout.group_size must be at least 2, got {self.group_size}: the advantage "
                "compares the completions of a group with each other; the study uses 8"
            )
        if self.max_tokens < 2:
            raise ConfigError(f"rollout.max_tokens must be at least 2, got {self.max_tokens}")
        check_temperature("rollout.temperature", self.temperature)
        check_top_p("rollout.top_p", self.top_p)
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise ConfigError(
                    f"rollout.{name} must be at most {most}, got {getattr(self, name)}: no run "
                    "could hold or wait for that many; the study uses 8 completions of 512 tokens"
                )
        if self.max_staleness < 0:
            raise ConfigError(
                f"rollout.max_staleness must be 0 or more updates, got {self.max_staleness}; 0 "
                "samples and updates in turn"
            )
        if self.sync_every < 1:
            raise ConfigError(
                f"rollout.sync_every must be at least 1 step, got {self.sync_every}; 1 gives the "
                "sampler new weights after every step"
            )

    def check(self, tuning: TuningConfig) -> None:
        """Raise `ConfigError` where this engine cannot sample from what `tuning` trains."""

    def check_prompts(self, longest: int) -> None:
        """Raise `ConfigError` where this engine has no room for a completion of a prompt of
        `longest` tokens; what the model has room for is looked at elsewhere."""

    def computing_threads(self) -> int:
        """Threads of this process that compute at once, the update's included."""
        return 1

    def build(self, policy: "Policy", seed: int, folder: Path = Path()) -> Sampler:
        """The engine. `seed` makes its draws; `policy` gives architecture and tokenizer; what the
        engine may leave behind, a log, goes to `folder`."""
        raise NotImplementedError
