"""The choices `rollout=vllm` and `rollout=vllm_local`. Apart from the client, so that composing a
run imports neither aiohttp nor MLX."""

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tersely.errors import ConfigError
from tersely.paths import typed_path
from tersely.policy.tuning import LoraConfig, TuningConfig
from tersely.rollout.sampler import RolloutConfig, Sampler

if TYPE_CHECKING:
    from tersely.policy.load import Policy


MOST = 1e6
"""Of seconds (eleven days) and of nats."""
MOST_CONTEXT = 10_000_000
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")


class Sync(Enum):
    """`rollout.sync`: how workers get new weights."""

    reload = "reload"
    """In place: a worker that `tersely.rollout.serve` started fetches them and goes on."""
    lora = "lora"
    """As an adapter under a new name; for `tuning=lora`, and all that vllm-metal can do."""
    restart = "restart"
    """The server is started again with them. Slow: the last resort."""


@dataclass
class WorkersConfig(RolloutConfig):
    """What the choices that sample over HTTP have in common."""

    sync: Sync = Sync.reload
    """How workers get new weights: `reload` (in place), `lora` (adapters) or `restart`."""
    timeout_s: float = 300.0
    """Seconds that a worker has for one request; then it counts as stalled."""
    patience_s: float = 600.0
    """Seconds for which a run waits when no worker answers; then it stops."""
    requests_per_worker: int = 16
    """Requests that a worker has to work on at a time."""
    probe_tolerance: float = 0.05
    """After new weights: most that a worker's log-probabilities may differ from the trainer's, in
    nats, as a mean over the tokens of a probe. In float32 the difference is about 1e-6, in
    bfloat16 about 0.01. It tells another model; one update may change less than that, so a worker
    that is not exact (1e-4) is also held against the version before, and is at fault where it is
    nearer to that one or has been exact."""
    publish_host: str = "127.0.0.1"
    """Address on which the trainer offers weights; workers on other machines need one that they
    reach, or 0.0.0.0 for all."""
    publish_port: int = 0
    """Port for that; 0 takes a free one."""
    publish_folder: str | None = None
    """Where the weights are written. A folder that workers see under the same path spares them
    the transfer. Unset: memory or the temporary folder of this machine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_p != 1:
            raise ConfigError(
                f"rollout.top_p={self.top_p} cannot be had from vLLM: its log-probabilities are "
                "then those of the nucleus alone, in which a ratio is off from the start; set "
                "rollout.top_p=1, or rollout=local"
            )
        for name in ("timeout_s", "patience_s", "probe_tolerance"):
            value = getattr(self, name)
            if not 0 < value <= MOST:
                raise ConfigError(
                    f"rollout.{name} must be above 0, got {value}; the most is {MOST:g}, and the "
                    f"default {getattr(WorkersConfig, name):g}"
                )
        if self.requests_per_worker < 1:
            raise ConfigError(
                f"rollout.requests_per_worker must be at least 1, got {self.requests_per_worker}"
            )
        if not _HOST.fullmatch(self.publish_host):
            # An empty one would be every address of this machine.
            raise ConfigError(
                f"rollout.publish_host={self.publish_host!r} is neither an address nor the name of "
                "a machine; the default is 127.0.0.1, and 0.0.0.0 is every address of this one"
            )
        if self.publish_folder is not None:
            if not self.publish_folder.strip():
                raise ConfigError(
                    "rollout.publish_folder is empty; set it to a folder, or to null for memory or "
                    "the temporary folder of this machine"
                )
            typed_path(self.publish_folder, "rollout.publish_folder")
        if not 0 <= self.publish_port < 65536:
            raise ConfigError(
                f"rollout.publish_port must lie in 0 to 65535, got {self.publish_port}; 0 takes "
                "a free one"
            )

    def check(self, tuning: TuningConfig) -> None:
        """Adapters are published by `rollout.sync=lora` alone, and it has nothing else."""
        from tersely.rollout.vllm.serving.options import LORA_RANKS

        if self.sync is Sync.lora and not isinstance(tuning, LoraConfig):
            raise ConfigError(
                "rollout.sync=lora gives workers adapters, and tuning=full trains none; set "
                "tuning=lora, or rollout.sync=reload"
            )
        most = LORA_RANKS[-1]
        if self.sync is Sync.lora and isinstance(tuning, LoraConfig) and tuning.rank > most:
            raise ConfigError(
                f"tuning.rank={tuning.rank} is more than vLLM takes adapters of; set it to {most} "
                "or less, or rollout.sync=reload, which sends whole weights"
            )


@dataclass
class VllmConfig(WorkersConfig):
    """`rollout=vllm`: servers that run already sample."""

    workers: list[str] = field(default_factory=list)
    """Their addresses, as in `[http://a:8000,http://b:8000]`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.workers:
            raise ConfigError(
                "rollout=vllm needs workers and rollout.workers is empty; start one with "
                "`python -m tersely.rollout.serve model=... port=8000` and set "
                "rollout.workers=[http://127.0.0.1:8000], or let rollout=vllm_local start one"
            )
        self.workers = [worker.rstrip("/") for worker in self.workers]
        for worker in self.workers:
            _check_address(worker)
        if len(set(map(_place, self.workers))) < len(self.workers):
            raise ConfigError(
                f"rollout.workers={self.workers} names a worker twice: it would be given two "
                "shares of every group; name each once"
            )
        self._check_reach()

    def _check_reach(self) -> None:
        """A worker elsewhere cannot fetch weights from an address that only this machine has."""
        elsewhere = [worker for worker in self.workers if not _is_loopback(worker)]
        if elsewhere and _is_loopback(f"http://{self.publish_host}") and not self.publish_folder:
            raise ConfigError(
                f"{elsewhere[0]} is another machine, and rollout.publish_host={self.publish_host} "
                "is an address that it cannot fetch weights from; set rollout.publish_host to an "
                "address of this machine that it reaches (0.0.0.0 for all), or "
                "rollout.publish_folder to a folder that both see"
            )

    def build(self, policy: "Policy", seed: int, folder: Path = Path()) -> Sampler:
        """A client of the workers."""
        from tersely.rollout.vllm.sampler import VllmSampler

        return VllmSampler(policy, self, seed, self.workers)


@dataclass
class VllmLocalConfig(WorkersConfig):
    """`rollout=vllm_local`: this run starts a server on this machine, and stops it at its end."""

    python: str | None = None
    """Interpreter of the environment that vLLM is installed in. Unset: `$TERSELY_VLLM_PYTHON`,
    else that of vllm-metal on a Mac, else `python`."""
    port: int = 0
    """Port of the server, on 127.0.0.1; 0 takes a free one."""
    context: int = 0
    """Most tokens of a prompt and its completion together; 0 for the model's, at most 4096."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.port < 65536:
            raise ConfigError(
                f"rollout.port must lie in 0 to 65535, got {self.port}; 0 takes a free one"
            )
        if self.context > MOST_CONTEXT:
            raise ConfigError(
                f"rollout.context must be at most {MOST_CONTEXT}, got {self.context}; no model "
                "reads more, and 0 takes the model's"
            )
        if self.context != 0 and self.context <= self.max_tokens:
            raise ConfigError(
                f"rollout.context={self.context} has no room for a prompt before the "
                f"rollout.max_tokens={self.max_tokens} of its completion; set 0 for the model's, "
                "or more than rollout.max_tokens + prompt.max_tokens"
            )
        if self.python is not None:
            if not self.python.strip():
                raise ConfigError(
                    "rollout.python is empty; set it to an interpreter, or to null for the usual "
                    "one, see docs/several-machines.md"
                )
            typed_path(self.python, "rollout.python")

    def check(self, tuning: TuningConfig) -> None:
        """There has to be a vLLM to start."""
        super().check(tuning)
        from tersely.rollout.vllm.serving.interpreter import ask
        from tersely.rollout.vllm.serving.options import usual_python

        try:
            ask(self.python or usual_python())
        except ConfigError as error:
            raise ConfigError(
                f"rollout=vllm_local cannot start a server: {error} (here the key is "
                "rollout.python)"
            ) from error

    def check_prompts(self, longest: int) -> None:
        """The server refuses what it has no room for, in the middle of a run."""
        from tersely.rollout.vllm.serving.options import CONTEXT

        context = self.context or CONTEXT
        if longest + self.max_tokens > context:
            raise ConfigError(
                f"a prompt of {longest} tokens and rollout.max_tokens={self.max_tokens} need "
                f"{longest + self.max_tokens} positions, and the server of this run is started "
                f"with {context}; set rollout.context={longest + self.max_tokens}, or lower "
                "prompt.max_tokens"
            )

    def build(self, policy: "Policy", seed: int, folder: Path = Path()) -> Sampler:
        """A client of a server of its own, started with the first step."""
        from tersely.rollout.vllm.local_server import LocalServerSampler

        return LocalServerSampler(policy, self, seed, folder)


def check_worker_is_public(worker: str) -> None:
    """Raises `ConfigError` for an address with a secret in it, and for what is no address."""
    try:
        parts = urlsplit(worker)
    except ValueError:
        raise ConfigError(
            "rollout.workers has what is no address of a server; write each as http://HOST:PORT"
        ) from None
    if parts.username or parts.password:
        raise ConfigError(
            "rollout.workers has an address with a name or a password in it, which would be kept "
            "with the run; set TERSELY_TOKEN on both sides instead"
        )


def _check_address(worker: str) -> None:
    check_worker_is_public(worker)
    parts = urlsplit(worker)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if (
        parts.scheme not in ("http", "https")
        or not _HOST.fullmatch(parts.hostname or "")
        or port == 0
        or any((parts.path, parts.query, parts.fragment))
    ):
        raise ConfigError(
            f"rollout.workers has {worker!r}, which is no address of a server; write it as "
            "http://HOST:PORT"
        )


def _place(worker: str) -> tuple[str, int | None]:
    parts = urlsplit(worker)
    return ("here" if _is_loopback(worker) else parts.hostname or "", parts.port)


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
