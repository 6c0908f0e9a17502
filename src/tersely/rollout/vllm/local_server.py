"""The rollout engine that has a vLLM server of its own, on this machine."""

import socket
from collections.abc import Sequence
from pathlib import Path

from tersely.policy.load import Policy
from tersely.policy.tuning import LoraConfig
from tersely.records import Group, Prompt
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.rollout.vllm.config import Sync, VllmLocalConfig
from tersely.rollout.vllm.sampler import VllmSampler
from tersely.rollout.vllm.server import LocalServer


class LocalServerSampler(Sampler):
    """Starts a server with the first `sample` and ends it with `close`."""

    def __init__(self, policy: Policy, config: VllmLocalConfig, seed: int, folder: Path) -> None:
        """The server's logs go to `folder`."""
        port = config.port or _free_port()
        adapters = policy.tuning if config.sync is Sync.lora else None
        self._server = LocalServer(
            policy.folder,
            python=config.python,
            port=port,
            lora_rank=adapters.rank if isinstance(adapters, LoraConfig) else 0,
            log_folder=folder / "vllm",
        )
        self._started = False
        self._sampler = VllmSampler(policy, config, seed, [f"http://127.0.0.1:{port}"])

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """See `Sampler.sample`."""
        if not self._started:
            self._server.start()
            self._started = True
        return self._sampler.sample(prompts, snapshot, step)

    def metrics(self) -> dict[str, float]:
        """See `VllmSampler.metrics`."""
        return self._sampler.metrics()

    def close(self) -> None:
        """See `Sampler.close`; a server that is just starting is ended too."""
        self._sampler.close()
        self._server.stop()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
