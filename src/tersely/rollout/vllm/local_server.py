"""The rollout engine that has a vLLM server of its own, on this machine."""

from collections.abc import Sequence
from pathlib import Path

from tersely.policy.load import Policy
from tersely.policy.tuning import LoraConfig
from tersely.records import Group, Prompt
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.rollout.vllm.config import Sync, VllmLocalConfig
from tersely.rollout.vllm.sampler import VllmSampler
from tersely.rollout.vllm.serving.server import LocalServer


class LocalServerSampler(Sampler):
    """Starts a server with the first `sample` and ends it with `close`."""

    def __init__(self, policy: Policy, config: VllmLocalConfig, seed: int, folder: Path) -> None:
        """The server's logs go to `folder`."""
        self._policy, self._config, self._seed = policy, config, seed
        adapters = policy.tuning if config.sync is Sync.lora else None
        self._server = LocalServer(
            policy.folder,
            python=config.python or "",
            port=config.port,
            lora_rank=adapters.rank if isinstance(adapters, LoraConfig) else 0,
            log_folder=folder / "vllm",
        )
        self._sampler: VllmSampler | None = None

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """See `Sampler.sample`."""
        if self._sampler is None:
            url = self._server.start()
            self._sampler = VllmSampler(self._policy, self._config, self._seed, [url])
        return self._sampler.sample(prompts, snapshot, step)

    def metrics(self) -> dict[str, float]:
        """See `VllmSampler.metrics`."""
        return {} if self._sampler is None else self._sampler.metrics()

    def close(self) -> None:
        """See `Sampler.close`; a server that is just starting is ended too."""
        if self._sampler is not None:
            self._sampler.close()
        self._server.stop()
