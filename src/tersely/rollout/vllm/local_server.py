"""The rollout engine that has a vLLM server of its own, on this machine."""

import threading
from collections.abc import Sequence
from pathlib import Path

from tersely.errors import RolloutError
from tersely.policy.load import Policy
from tersely.policy.tuning import LoraConfig
from tersely.records import Group, Prompt
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.rollout.vllm.config import Sync, VllmLocalConfig
from tersely.rollout.vllm.publishing.score import TrainerScorer
from tersely.rollout.vllm.sampler import VllmSampler
from tersely.rollout.vllm.serving.server import LocalServer


class LocalServerSampler(Sampler):
    """Starts a server with the first `sample` and ends it with `close`."""

    def __init__(self, policy: Policy, config: VllmLocalConfig, seed: int, folder: Path) -> None:
        """The server's logs go to `folder`."""
        self._policy, self._config, self._seed = policy, config, seed
        # The server may start beside an update, while the model has what that computes with.
        self._scorer = TrainerScorer(policy, config.temperature)
        adapters = policy.tuning if config.sync is Sync.lora else None
        self._server = LocalServer(
            policy.folder,
            python=config.python or "",
            port=config.port,
            lora_rank=adapters.rank if isinstance(adapters, LoraConfig) else 0,
            context=config.context,
            log_folder=folder / "vllm",
        )
        self._sampler: VllmSampler | None = None
        self._ended: str | None = None
        """Why there is no server any more."""

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """See `Sampler.sample`. Raises `RolloutError` as soon as the server is gone for good."""
        self._raise_if_ended()
        try:
            return self._started().sample(prompts, snapshot, step)
        except RolloutError:
            self._raise_if_ended()
            raise

    def metrics(self) -> dict[str, float]:
        """See `VllmSampler.metrics`."""
        return {} if self._sampler is None else self._sampler.metrics()

    def close(self) -> None:
        """See `Sampler.close`; a server that is just starting is ended too."""
        self._end("sampling was stopped")
        self._server.stop()

    def _started(self) -> VllmSampler:
        if self._sampler is None:
            url = self._server.start()
            self._raise_if_ended()
            self._sampler = VllmSampler(self._policy, self._config, self._seed, [url], self._scorer)
            threading.Thread(target=self._watch, name="vllm server", daemon=True).start()
        return self._sampler

    def _watch(self) -> None:
        """Its keeper starts a server again that ends, so when that is gone nobody will."""
        self._server.wait()
        self._end(f"the vLLM server of this run ended; {self._server.log_file} says why")

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
        if self._sampler is not None:
            self._sampler.close()

    def _raise_if_ended(self) -> None:
        if self._ended is not None:
            raise RolloutError(self._ended)
