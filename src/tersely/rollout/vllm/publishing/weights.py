"""Weights as files that workers can fetch, one folder a version."""

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from tersely.errors import ConfigError, RolloutError
from tersely.policy.hub_weights import hub_weights
from tersely.policy.load import Policy
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.publishing.lora_adapter import base_of, merged, write_adapter
from tersely.rollout.vllm.publishing.shards import write_shards
from tersely.rollout.vllm.records import Files, Published, Score
from tersely.rollout.vllm.serving.worker_side.leftovers import make, sweep

OWN = f"tersely-{secrets.token_hex(4)}-"
"""All tags of this process begin with it: those of its stages differ in what follows."""
MEMORY = Path("/dev/shm")
"""A folder in memory, on Linux."""
OWNED = "tersely-weights-of-"
"""How folders of versions are called, see `leftovers`."""
KEPT = 2
"""Versions at a time: the one in use, and the next."""
DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16}


class Weights:
    """The versions of one run and stage. The newest are there, older ones are removed.

    `close` may be called from another thread than `write`, which then raises `RolloutError`.
    """

    def __init__(
        self,
        policy: Policy,
        score_of: Callable[[Snapshot], Score],
        *,
        adapters_only: bool = False,
        folder: str | None = None,
    ) -> None:
        """`adapters_only` writes adapters alone; the weights beside them are then in `base`.
        `folder` is where versions are written; by default memory or, where that is small, the
        temporary folder.

        Raises `ConfigError` where there are no adapters to write.
        """
        self._config, self._score_of = policy.config, score_of
        self._scale = _scale(policy)
        if adapters_only and self._scale is None:
            raise ConfigError(
                "rollout.sync=lora gives workers adapters, and tuning=full trains none; set "
                "tuning=lora, or rollout.sync=reload"
            )
        self._adapters_only, self._asked_folder = adapters_only, folder
        self._folder: Path | None = None
        self._opening, self._closed = threading.Lock(), False
        self._prefix = f"{OWN}{secrets.token_hex(2)}"
        self._folders: list[Path] = []
        self._newest: Score | None = None
        self.base: Files | None = None
        """With `adapters_only`, once a version is written: the weights beside all adapters."""

    def write(self, snapshot: Snapshot, dtype: str = "float32") -> Published:
        """Write the weights of `snapshot` in `dtype`, `float32` or `bfloat16`; adapters are
        always float32.

        Raises `RolloutError` naming the folder where they cannot be written.
        """
        parameters = dict(tree_flatten(snapshot.parameters))
        if self._adapters_only:
            assert self._scale is not None
            scale = self._scale
            if self.base is None:
                self.base = self._write_full(snapshot.version, "base", base_of(parameters), dtype)
            files = self._publish(
                snapshot.version,
                str(snapshot.version),
                sum(array.nbytes for name, array in parameters.items() if ".lora_" in name),
                lambda folder: write_adapter(parameters, scale, folder),
            )
        else:
            plain = parameters if self._scale is None else merged(parameters, self._scale)
            files = self._write_full(snapshot.version, str(snapshot.version), plain, dtype)
        self._folders.append(files.folder)
        while len(self._folders) > KEPT:
            shutil.rmtree(self._folders.pop(0), ignore_errors=True)
        before, self._newest = self._newest, self._score_of(snapshot)
        return Published(
            files.version, files.tag, files.folder, files.checksums, self._newest, before
        )

    def close(self) -> None:
        """Remove what was written; what another thread is writing, that one removes."""
        with self._opening:
            self._closed = True
        self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write_full(
        self, version: int, name: str, parameters: dict[str, mx.array], dtype: str
    ) -> Files:
        weights = hub_weights(parameters, self._config, DTYPES[dtype])
        size = sum(array.nbytes for array in weights.values())
        return self._publish(version, name, size, lambda folder: write_shards(weights, folder))

    def _publish(
        self,
        version: int,
        name: str,
        size: int,
        write: Callable[[Path], dict[str, str]],
    ) -> Files:
        tag = f"{self._prefix}-{name}"
        try:
            folder = self._open(size) / tag
            folder.mkdir()
            checksums = write(folder)
        except OSError as error:
            self._raise_if_closed()
            where = self._folder or self._asked_folder or tempfile.gettempdir()
            raise RolloutError(
                f"{size / 1e9:.1f} GB of weights for the workers cannot be written to {where} "
                f"({error.strerror}); set rollout.publish_folder to a folder with room for "
                f"{KEPT + 1} times as much"
            ) from error
        self._raise_if_closed()
        return Files(version, tag, folder, checksums)

    def _open(self, size: int) -> Path:
        """The folder of all versions, made for the first, which has `size` bytes."""
        with self._opening:
            self._raise_if_closed()
            if self._folder is None:
                self._folder = self._make_folder(size)
            return self._folder

    def _raise_if_closed(self) -> None:
        if self._closed:
            self._remove()
            raise RolloutError("sampling was stopped")

    def _make_folder(self, size: int) -> Path:
        """For versions of `size` bytes."""
        if self._asked_folder is not None:
            asked = Path(self._asked_folder).expanduser().absolute()
            asked.mkdir(parents=True, exist_ok=True)
            # With the usual rights: workers may run as somebody else.
            return make(asked, OWNED, mode=0o777)
        disk = Path(tempfile.gettempdir())
        for place in (MEMORY, disk):
            sweep(place, OWNED)
        roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > (KEPT + 1) * size
        return make(MEMORY if roomy else disk, OWNED)


def _scale(policy: Policy) -> float | None:
    """What adapters are multiplied by, None where there are none."""
    for module in policy.model.modules():
        if "lora_a" in module:
            return float(module.scale)
    return None
