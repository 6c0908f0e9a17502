"""Three ways in which a worker is given weights. None of them checks that it samples with them."""

import asyncio
import logging
import time
from typing import Any

from tersely.errors import SyncNotApplied
from tersely.rollout.vllm.fleet.replies import Refused
from tersely.rollout.vllm.fleet.worker import NotFound, Worker
from tersely.rollout.vllm.publishing.publisher import Publisher
from tersely.rollout.vllm.publishing.weights import OWN
from tersely.rollout.vllm.records import Files, WorkerFault

log = logging.getLogger(__name__)

ADAPTERS = 2
"""On a worker at a time: the one in use, and the next."""
RESTART_S = 900.0
"""Seconds for a server to be there again with other weights."""
POLL_S = 0.5
FIRST_TAG = "default"
"""How vLLM calls the weights that it began with (v1/engine/core.py)."""
UNFIT = (
    "max_lora_rank",
    "LoRA is not enabled",
    "expected target modules",
    "is unsupported LoRA weight",
)
"""Parts of what vLLM says, with a 500, of adapters that do not go with how it was started."""
SERVE = "start it with `python -m tersely.rollout.serve`"


class Receiver:
    """What `worker_side.extension` does for a trainer, inside a worker."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def ask(
        self, worker: Worker, method: str, files: Files | None = None
    ) -> list[dict[str, Any]]:
        """Call `method`, with where to get `files`; what each process of the worker returns.

        Raises `WorkerFault`; `Missing` where the worker was started without the extension.
        """
        arguments = []
        if files is not None:
            arguments.append(await self._publisher.source(files, worker.url))
        try:
            reply = await worker.call("/collective_rpc", {"method": method, "args": arguments})
        except NotFound as fault:
            raise Missing(fault.url, fault.what) from None
        except WorkerFault as fault:
            if "is not implemented" in fault.what:  # vLLM, of a method that no worker has
                raise Missing(fault.url, fault.what) from None
            raise
        results = reply.get("results") if isinstance(reply, dict) else None
        if not results or not all(isinstance(result, dict) for result in results):
            raise WorkerFault(worker.url, f"{method} returned {str(reply)[:200]}")
        return list(results)


class Missing(WorkerFault):
    """A worker was started without what a trainer needs."""


class Reload:
    """`rollout.sync=reload`: in place, in a server that goes on."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def deliver(self, worker: Worker, files: Files) -> None:
        """Raises `WorkerFault`, and `SyncNotApplied` where it will never work."""
        try:
            # What is still being sampled belongs to nobody any more.
            await worker.call("/pause?mode=abort")
            results = await self._receiver.ask(worker, "tersely_reload", files)
        except (Missing, NotFound) as fault:
            raise SyncNotApplied(
                f"{worker.url} cannot take weights in place ({fault.what}); {SERVE}, or set "
                "rollout.sync=lora with tuning=lora"
            ) from None
        log.debug("%s: %s", worker.url, results)
        problem = next((each["problem"] for each in results if each.get("problem")), None)
        if problem is not None:
            await self._leave(worker, results, str(problem))
        reset, _ = await asyncio.gather(
            worker.call("/reset_prefix_cache"),
            worker.call("/update_weight_version", {"new_version": files.tag}),
        )
        if not (isinstance(reset, dict) and reset.get("success")):
            raise WorkerFault(worker.url, "it could not empty its prefix cache")
        await worker.call("/resume")

    async def _leave(self, worker: Worker, results: list[dict[str, Any]], problem: str) -> None:
        if any(each.get("touched", True) for each in results):
            # A request would meet half a model, which ends the server. It stays paused until it
            # is given weights again.
            raise WorkerFault(worker.url, f"its model is incomplete: {problem}")
        await worker.call("/resume")
        if any(each.get("misfit") for each in results):
            raise SyncNotApplied(
                f"{worker.url} serves another model than the trainer's: {problem}; serve the one "
                "that is trained"
            )
        raise WorkerFault(worker.url, f"it kept its weights: {problem}")


class LoadAdapter:
    """`rollout.sync=lora`: under the tag as a name, beside weights that stay."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver, self._base = receiver, Reload(receiver)
        self._loaded: dict[str, list[str]] = {}

    async def deliver(self, worker: Worker, files: Files, base: Files) -> None:
        """`base` are the weights beside the adapters. A worker that cannot reload has to have
        them from its start.

        Raises `WorkerFault`, and `SyncNotApplied` where it will never work.
        """
        await self._bring_base(worker, base)
        fetched = await self._fetched(worker, files)
        path = fetched or str(files.folder)
        body = {"lora_name": files.tag, "lora_path": path, "load_inplace": True}
        try:
            await worker.call("/v1/load_lora_adapter", body)
        except WorkerFault as fault:
            # Also raised for success, of which vLLM tells in plain text.
            if files.tag not in await served_names(worker):
                gone = fetched is not None and "No adapter found" in fault.what
                raise fault if gone else _told_apart(worker, fault) from None
        await self._unload_older(worker, files)

    async def _bring_base(self, worker: Worker, base: Files) -> None:
        try:
            version = await worker.call("/weight_info", method="GET")
        except NotFound:  # vllm-metal; the probe tells if its weights are others
            return
        tag = version.get("weight_version") if isinstance(version, dict) else None
        if tag == base.tag:
            return
        if tag != FIRST_TAG and not str(tag).startswith(OWN):
            log.warning(
                "%s has the weights %s, which this run did not give it, and is given this run's: "
                "another trainer may be using it; a worker is for one run at a time",
                worker.url,
                tag,
            )
        await self._base.deliver(worker, base)
        self._loaded.pop(worker.url, None)

    async def _fetched(self, worker: Worker, files: Files) -> str | None:
        """Where the worker has them now, None if it cannot fetch and has to see the trainer's."""
        try:
            results = await self._receiver.ask(worker, "tersely_fetch", files)
        except Missing:
            return None
        return str(results[0].get("path"))

    async def _unload_older(self, worker: Worker, files: Files) -> None:
        loaded = self._loaded.setdefault(worker.url, [])
        if files.tag not in loaded:
            loaded.append(files.tag)
        for name in loaded[:-ADAPTERS]:
            loaded.remove(name)
            try:
                await worker.call("/v1/unload_lora_adapter", {"lora_name": name})
            except WorkerFault as fault:  # it has been started again, or said yes in plain text
                log.debug("unloading %s: %s", name, fault)


class Restart:
    """`rollout.sync=restart`: `tersely.rollout.serve` starts the server again with them."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def deliver(self, worker: Worker, files: Files) -> None:
        """Raises `WorkerFault`, and `SyncNotApplied` where it will never work."""
        try:
            await self._receiver.ask(worker, "tersely_restart", files)
        except Missing as fault:
            raise SyncNotApplied(
                f"{worker.url} cannot be started again with other weights ({fault.what}); {SERVE}"
            ) from None
        began, gone = time.monotonic(), False
        while time.monotonic() - began < RESTART_S:
            await asyncio.sleep(POLL_S)
            try:
                names = await served_names(worker)
            except WorkerFault:
                gone = True
                continue
            if files.tag in names:
                return
            if gone:
                raise WorkerFault(
                    worker.url, f"it came back with {', '.join(names)} and not {files.tag}"
                )
        raise WorkerFault(worker.url, f"it was not back within {RESTART_S:.0f} seconds")


def _told_apart(worker: Worker, fault: WorkerFault) -> Exception:
    """`fault`, or what it means if it is about what the server was started with."""
    # vLLM refuses some adapters with a 400, others with a 500, as it says of what may pass.
    if isinstance(fault, (NotFound, Refused)) or any(each in fault.what for each in UNFIT):
        return SyncNotApplied(
            f"{worker.url} does not take an adapter ({fault.what}); {SERVE} lora_rank=N, N being "
            "the trainer's tuning.rank"
        )
    return fault


async def served_names(worker: Worker) -> list[str]:
    """What requests can call the models of a worker. Raises `WorkerFault`."""
    reply = await worker.call("/v1/models", method="GET")
    try:
        return [str(model["id"]) for model in reply["data"]]
    except (KeyError, TypeError):
        raise WorkerFault(worker.url, f"/v1/models answered {str(reply)[:200]}") from None
