"""Fake workers that take weights as vLLM does with `worker_side` in it: they fetch what was
published over HTTP, with its token, and what they answer shows which weights they have."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

import mlx.core as mx
from aiohttp import web
from fake_workers import FakeWorker, Fault, completion
from mlx.utils import tree_flatten, tree_unflatten
from safetensors import safe_open

from tersely.policy.load import Policy
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.records import Completion, Sampling, Score
from tersely.rollout.vllm.serving.worker_side.fetching import NotFetched, fetched

MARKED = "model.norm.weight"
"""The parameter that tells one version from another."""


class Trouble(Enum):
    """What a fake does with new weights instead of taking them."""

    unavailable = auto()
    """503."""
    damaged = auto()
    """Not what was published: it keeps the weights that it has and says so."""
    halfway = auto()
    """Its model is incomplete, and it says so."""
    ignored = auto()
    """It says that it took them and keeps the weights that it has."""


class ReceivingWorker(FakeWorker):
    """One such worker. Its log-probabilities are those of `completion`, less its weights' mark."""

    def __init__(
        self,
        faults: Callable[[], Fault | None] = lambda: None,
        troubles: Callable[[], Trouble | None] = lambda: None,
    ) -> None:
        """`troubles` is asked whenever there are new weights."""
        super().__init__(faults)
        self.wrongs: list[str] = []
        """What no real server could have been asked and go on."""
        self._troubles = troubles
        self.forget()

    def forget(self) -> None:
        super().forget()
        self._mark, self._whole, self._sampled = 0.0, True, False
        self._going = asyncio.Event()
        self._going.set()

    def sampled(self, prompt: Sequence[int], seed: int, sampling: Sampling) -> Completion:
        if not sampling.stop_token_ids:  # a probe, too short for a prompt to be in it
            ids = tuple((seed + place) % 1000 for place in range(sampling.max_tokens))
            return Completion(ids, marked(ids, self._mark), "length")
        ids, _, finish = completion(prompt, seed, sampling)
        return Completion(ids, marked(ids, self._mark), finish)

    def _route(self, router: web.UrlDispatcher) -> None:
        super()._route(router)
        router.add_post("/pause", self._pause)
        router.add_post("/resume", self._resume)
        router.add_post("/reset_prefix_cache", self._reset_prefix_cache)
        router.add_post("/update_weight_version", self._update_weight_version)
        router.add_post("/collective_rpc", self._collective_rpc)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        await self._going.wait()
        if not self._whole:
            self.wrongs.append("half a model was asked to sample")
        self._sampled = True
        return await super()._generate(request)

    async def _pause(self, request: web.Request) -> web.Response:
        self._going.clear()
        return web.json_response({"status": "paused"})

    async def _resume(self, request: web.Request) -> web.Response:
        if not self._whole:
            self.wrongs.append("half a model was told to go on")
        self._going.set()
        return web.json_response({"status": "resumed"})

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def _update_weight_version(self, request: web.Request) -> web.Response:
        self.tag = (await request.json())["new_version"]
        return web.json_response({"weight_version": self.tag})

    async def _collective_rpc(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["method"] == "tersely_describe":
            return web.json_response({"results": [{"dtype": "float32"}]})
        assert body["method"] == "tersely_reload", body
        trouble = self._troubles()
        if trouble is Trouble.unavailable:
            return web.json_response({"error": {"message": "busy"}}, status=503)
        return web.json_response({"results": [await self._reload(body["args"][0], trouble)]})

    async def _reload(self, source: dict[str, Any], trouble: Trouble | None) -> dict[str, Any]:
        # One that has just been started anew has nobody's requests.
        if self._going.is_set() and self._sampled:
            self.wrongs.append("new weights beside requests")
        if trouble is Trouble.damaged:
            source["checksums"] = dict.fromkeys(source["checksums"], "0" * 64)
        try:
            mark = fetched_mark(source)  # not in a thread: with thousands that takes longer
        except NotFetched as error:
            return {"problem": str(error), "touched": False}
        if trouble is Trouble.halfway:
            self._whole = False
            return {"problem": "out of memory", "touched": True}
        if trouble is not Trouble.ignored:
            self._mark, self._whole = mark, True
        return {"problem": None, "touched": True}


def fetched_mark(source: dict[str, Any]) -> float:
    """The mark of published weights, as a machine gets it that does not see the trainer's disk."""
    with fetched({**source, "path": "/on/another/machine"}) as folder:
        marks = []
        for file in folder.glob("*.safetensors"):
            with safe_open(file, framework="numpy") as weights:
                if MARKED in weights.keys():  # noqa: SIM118 - it is no dictionary
                    marks.append(float(weights.get_tensor(MARKED)[0]))
    (mark,) = marks
    return mark


def marked(ids: Sequence[int], mark: float) -> tuple[float, ...]:
    """Log-probabilities of `ids` from weights with that mark; exact for multiples of 1/1024."""
    return tuple(-token / 1024 - mark for token in ids)


def mark_of(version: int) -> float:
    """Never 0, which a worker has that was given no weights."""
    return (version + 1) / 1024


def with_mark(parameters: Mapping[str, Any], version: int) -> Snapshot:
    """`parameters` as after `version` updates, with a mark that only they have."""
    flat = dict(tree_flatten(parameters))
    flat[MARKED] = mx.full(flat[MARKED].shape, mark_of(version))
    mx.eval(flat[MARKED])
    return Snapshot(tree_unflatten(list(flat.items())), version)


class MarkScorer:
    """In place of `TrainerScorer`, for workers that have no model: their rule, on the trainer's
    own parameters."""

    def __init__(self, policy: Policy, temperature: float) -> None:
        pass

    def of(self, snapshot: Snapshot) -> Score:
        mark = dict(tree_flatten(snapshot.parameters))[MARKED][0].item()
        return lambda prompt, ids: list(marked(ids, mark))
