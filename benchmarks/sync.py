"""New weights for a running vLLM server: in place, against starting the server again with them.

`TERSELY_VLLM_PYTHON=PYTHON python benchmarks/sync.py [--quick]` serves a model with a real vLLM,
PYTHON being the interpreter of its environment, and gives it weights as a run does: written,
fetched, checked, loaded, and heard to be sampled with. The embedded model, and without `--quick`
the shape of Qwen2.5-0.5B with random weights, stored in bfloat16 by the server, which takes 8 GB of
memory and some minutes. A line an arm on stderr, one JSON object on stdout.

- `path`: in place, by a path that server and trainer share; the main arm. `http`: in place, over
  HTTP from the trainer. `restart`: once, as `rollout.sync=restart` does it.
- `seconds`: median of a version, from the trainer's arrays to the end of the probe. Parts of it:
  `write` (cast, hashed, written), `fetch` (hashed again by the server; copied, over HTTP), `load`
  (inside the server), `probe` (a completion, scored by the trainer), `calls` (what is left: pause,
  prefix cache, version, resume).
- `off`: mean difference of the last probe's log-probabilities to the trainer's, in nats.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas

load_fast_blas()
keep_freed_memory()

import mlx.core as mx  # noqa: E402
from mlx.utils import tree_flatten, tree_map  # noqa: E402
from mlx_lm.models import qwen2  # noqa: E402

from tersely.policy.load import TINY, Policy, load_policy  # noqa: E402
from tersely.rollout.sampler import Snapshot  # noqa: E402
from tersely.rollout.vllm.config import Sync, VllmConfig  # noqa: E402
from tersely.rollout.vllm.fleet.worker import Worker  # noqa: E402
from tersely.rollout.vllm.publishing.score import TrainerScorer  # noqa: E402
from tersely.rollout.vllm.publishing.synchronise import Synchroniser  # noqa: E402
from tersely.rollout.vllm.records import Published  # noqa: E402
from tersely.rollout.vllm.serving.options import PYTHON_VARIABLE  # noqa: E402
from tersely.rollout.vllm.token import token_for  # noqa: E402

QWEN: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
"""Qwen2.5-0.5B."""
GOALS = {"tiny": 0.1, "qwen2.5-0.5b": 2.0}
"""Seconds, in place and by path."""
CONTEXT = 1024


def write_random(folder: Path) -> Path:
    """A checkpoint of `QWEN` with the embedded model's tokenizer."""
    folder.mkdir()
    mx.random.seed(7)
    model = qwen2.Model(qwen2.ModelArgs.from_dict(QWEN))
    weights = {
        name: (array if array.ndim == 1 else 0.02 * mx.random.normal(array.shape))
        for name, array in tree_flatten(model.parameters())
    }
    bfloat16 = {name: array.astype(mx.bfloat16) for name, array in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), bfloat16, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(QWEN))
    for pattern in ("tokenizer*", "*.jinja"):
        for source in TINY.glob(pattern):
            shutil.copyfile(source, folder / source.name)
    return folder


@contextmanager
def served(model: Path, dtype: str, python: str, logs: Path) -> Iterator[str]:
    """The address of a server."""
    command = [sys.executable, "-m", "tersely.rollout.serve", f"model={model}", "port=0"]
    command += [f"python={python}", f"dtype={dtype}", f"context={CONTEXT}", f"log_folder={logs}"]
    serve = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    assert serve.stdout is not None
    try:
        said = serve.stdout.readline().strip()
        if not said.startswith("rollout.workers=["):
            raise SystemExit(f"the server did not start, see {logs}")
        yield said.removeprefix("rollout.workers=[").rstrip("]")
    finally:
        serve.terminate()
        serve.wait(60)
        serve.stdout.close()


class Timed(Worker):
    """A worker that notes what its answers took."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout_s=600, token=token_for(url))
        self.parts: dict[str, float] = {}

    async def call(
        self, path: str, body: Any = None, *, method: str = "POST", timeout_s: float | None = None
    ) -> Any:
        answer = await super().call(path, body, method=method, timeout_s=timeout_s)
        if path == "/collective_rpc":
            self.parts |= answer["results"][0].get("seconds", {})
        return answer


class Arm:
    """One way to give a server weights."""

    def __init__(self, policy: Policy, url: str, sync: Sync, *, shares_disk: bool = True) -> None:
        config = VllmConfig(workers=[url], sync=sync)
        self.worker = Timed(url)
        self.sync = Synchroniser(policy, config, TrainerScorer(policy, 1.0).of)
        self.off = float("nan")
        self._time_probe()
        if not shares_disk:
            self._hide_paths()

    def _time_probe(self) -> None:
        compare = self.sync._probe.difference

        async def difference(*arguments: Any, **named: Any) -> float:
            began = time.perf_counter()
            self.off = await compare(*arguments, **named)
            self.worker.parts["probe"] = time.perf_counter() - began
            return self.off

        self.sync._probe.difference = difference  # type: ignore[method-assign]

    def _hide_paths(self) -> None:
        tell = self.sync._publisher.source

        async def source(published: Published, url: str) -> dict[str, Any]:
            return await tell(published, url) | {"path": "/not/on/this/machine"}

        self.sync._publisher.source = source  # type: ignore[method-assign]

    async def measure(self, snapshots: list[Snapshot]) -> dict[str, Any]:
        """Give the server one after the other; the first is not counted if there are more."""
        await self.sync.start([self.worker])
        try:
            versions = [await self._publish(snapshot) for snapshot in snapshots]
        finally:
            await self.sync.close()
            await self.worker.close()
        counted = versions[1:] or versions
        median = {
            part: round(statistics.median(version[part] for version in counted), 4)
            for part in counted[0]
        }
        return median | {"versions": len(counted), "off": float(f"{self.off:.1e}")}

    async def _publish(self, snapshot: Snapshot) -> dict[str, float]:
        self.worker.parts = {}
        began = time.perf_counter()
        published = self.sync.write(snapshot)
        written = time.perf_counter() - began
        await self.sync.bring(self.worker, published)
        seconds = time.perf_counter() - began
        parts = {"write": written} | self.worker.parts
        return {"seconds": seconds} | parts | {"calls": seconds - sum(parts.values())}


def snapshots_of(policy: Policy, count: int) -> list[Snapshot]:
    """Two sets of weights that take turns."""
    mx.random.seed(1)
    own = policy.parameters()
    other = tree_map(lambda array: array + 0.01 * mx.random.normal(array.shape), own)
    mx.eval(other)
    return [Snapshot((own, other)[version % 2], version) for version in range(count)]


def compare(name: str, model: Path, dtype: str, python: str, repeats: int) -> dict[str, Any]:
    """All arms on one server."""
    policy = load_policy(model)
    report: dict[str, Any] = {"model": name, "dtype": dtype}
    with tempfile.TemporaryDirectory() as logs, served(model, dtype, python, Path(logs)) as url:
        for arm, sync, shares_disk, count in (
            ("path", Sync.reload, True, 1 + repeats),
            ("http", Sync.reload, False, 1 + repeats),
            ("restart", Sync.restart, True, 1),
        ):
            measured = Arm(policy, url, sync, shares_disk=shares_disk)
            report[arm] = asyncio.run(measured.measure(snapshots_of(policy, count)))
            print(json.dumps({"model": name, "arm": arm} | report[arm]), file=sys.stderr)
    report["restart_over_in_place"] = round(
        report["restart"]["seconds"] / report["path"]["seconds"]
    )
    report["goal_seconds"] = GOALS[name]
    return report


def main() -> None:
    """Measure the embedded model, and the larger one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the embedded model alone")
    chosen = parser.parse_args()
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        raise SystemExit(f"set {PYTHON_VARIABLE} to the Python of an environment with vLLM")
    reports = [compare("tiny", TINY, "float32", python, repeats=9)]
    if not chosen.quick:
        with tempfile.TemporaryDirectory() as folder:
            model = write_random(Path(folder) / "model")
            reports.append(compare("qwen2.5-0.5b", model, "bfloat16", python, repeats=4))
    print(
        json.dumps(
            {f"{report['model']}_seconds": report["path"]["seconds"] for report in reports}
            | {
                "models": reports,
                "processors": len(os.sched_getaffinity(0)),
                "load_average": os.getloadavg()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
