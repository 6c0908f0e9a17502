"""Which workers can be asked, and how one that cannot comes back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tersely.errors import RolloutError, SyncNotApplied, TerselyError
from tersely.rollout.vllm.fleet.replies import Refused
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Published, WorkerFault

log = logging.getLogger(__name__)

T = TypeVar("T")
Bring = Callable[[Worker, Published], Awaitable[None]]
"""Gives a worker these weights and makes sure that it samples with them. Raises `WorkerFault`, or
`SyncNotApplied` where the worker answers and still does not have them."""


@dataclass(frozen=True)
class Waits:
    """Seconds between one attempt and the next."""

    patience_s: float
    """For which a step may go without a single rollout while something fails."""
    first_probe_s: float = 0.5
    """Before a worker that failed is asked again; doubled from attempt to attempt."""
    longest_probe_s: float = 15.0
    """At most between two attempts."""
    warning_s: float = 15.0
    """Between two warnings of a wait."""


@dataclass(eq=False)
class Member:
    """A worker and how it stands."""

    worker: Worker
    slots: asyncio.Semaphore
    """One for each request that it may have to work on at a time."""
    live: bool = True
    fault: TerselyError | None = None
    """The last one."""
    attempts: int = 0
    """To come back, since it last sampled something."""


class Roster:
    """The workers of a run. One that fails is out, is asked again in the background, and comes
    back by itself with the current weights. Everything happens on one event loop.

    What waits here ends when `close` is called, or when a task in the background meets a defect,
    which it then raises.
    """

    def __init__(self, members: Sequence[Member], bring: Bring, waits: Waits) -> None:
        """All `members` count as live until they are asked."""
        self.members = list(members)
        self.faults = 0
        """How often a worker went out."""
        self._bring, self._waits = bring, waits
        self._current: Published | None = None
        self._brought_once = False
        self._troubled_since: float | None = None
        """When something failed after which no rollout has come yet."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()

    @property
    def live(self) -> list[Member]:
        """Those that can be asked."""
        return [member for member in self.members if member.live]

    @property
    def current(self) -> Published:
        """The weights to sample with. There are none before the first `publish`."""
        assert self._current is not None, "weights are published before anything is sampled"
        return self._current

    async def publish(self, published: Published) -> None:
        """Bring the live workers to these weights; the others get them when they come back.

        Raises `SyncNotApplied` if a worker does not take the first weights of all, or if it does
        not take later ones and nobody is left.
        """
        self._raise_if_ended()
        self._current = published
        bringing = {self.start(self._bring_current(member)): member for member in self.live}
        waiting = set(bringing)
        try:
            while waiting:
                for task in await self.first_of(waiting):
                    waiting.remove(task)
                    try:
                        task.result()
                    except (WorkerFault, SyncNotApplied) as fault:
                        if isinstance(fault, SyncNotApplied) and not self._brought_once:
                            raise  # something is set up wrongly, and somebody is there to see it
                        self.exclude(bringing[task], fault)
        finally:
            await end_tasks(waiting)
        self._brought_once = True
        if not self.live:
            self._raise_if_hopeless()

    async def anyone(self) -> list[Member]:
        """Those that can be asked, at least one of them, however long that takes.

        Raises `RolloutError` after `patience_s` without a rollout, and at once if nobody is left
        and waiting would not help.
        """
        time = asyncio.get_running_loop().time
        warned = None
        while True:
            self._raise_if_ended()
            now = time()
            if self._troubled_since is None and not self.live:
                self._troubled_since = now
            troubled = 0.0 if self._troubled_since is None else now - self._troubled_since
            if troubled >= self._waits.patience_s:
                raise RolloutError(self._out_of_patience())
            if live := self.live:
                return live
            self._raise_if_hopeless()
            if warned is None or now - warned >= self._waits.warning_s:
                warned = now
                log.warning("no worker can be asked, for %.0f s now: %s", troubled, self._faults())
            await self._change(min(self._waits.warning_s, self._waits.patience_s - troubled))

    def exclude(self, member: Member, fault: WorkerFault | SyncNotApplied) -> None:
        """Ask `member` for nothing until it has come back, which is seen to in the background."""
        self.faults += 1
        if self._troubled_since is None:
            self._troubled_since = asyncio.get_running_loop().time()
        member.live, member.fault = False, fault
        log.warning("%s (it is left out until it works again)", _named(member))
        self._changed.set()
        self.start(self._probe(member)).add_done_callback(self._end_with_a_defect)

    def sampled(self, member: Member) -> None:
        """Take note that `member` has sampled something."""
        member.attempts = 0
        self._troubled_since = None

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that does not outlive `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def first_of(
        self, tasks: Iterable["asyncio.Task[T]"], timeout_s: float | None = None
    ) -> set["asyncio.Task[T]"]:
        """Those of `tasks` that are done, as soon as there are any."""
        ended: asyncio.Future[Any] = self._ending()
        await asyncio.wait({*tasks, ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        self._raise_if_ended()
        return {task for task in tasks if task.done()}

    async def close(self) -> None:
        """End everything. What waits raises `RolloutError`, and so does what is asked later."""
        self._end(RolloutError("sampling was stopped"))
        await end_tasks(self._tasks)
        for member in self.members:
            await member.worker.close()

    async def _probe(self, member: Member) -> None:
        while not member.live:
            first, longest = self._waits.first_probe_s, self._waits.longest_probe_s
            await asyncio.sleep(min(longest, first * 2.0 ** min(member.attempts, 30)))
            member.attempts += 1
            try:
                await member.worker.healthy()
                await self._bring_current(member)
            except (WorkerFault, SyncNotApplied) as fault:
                news = type(fault) is not type(member.fault)
                member.fault = fault
                log.log(logging.WARNING if news else logging.DEBUG, "%s", _named(member))
            else:
                member.live = True
                log.info("worker %s is back", member.worker.url)
            self._changed.set()

    async def _bring_current(self, member: Member) -> None:
        brought = None
        while brought is not self.current:  # newer ones may be published meanwhile
            brought = self.current
            await self._bring(member.worker, brought)

    async def _change(self, timeout_s: float) -> None:
        self._changed.clear()
        change = self.start(self._changed.wait())
        try:
            await self.first_of([change], timeout_s)
        finally:
            await end_tasks([change])

    def _raise_if_hopeless(self) -> None:
        """For when nobody is live: some faults do not pass with time. While one worker has
        another fault there is something to wait for."""
        faults = [member.fault for member in self.members]
        if all(isinstance(fault, SyncNotApplied | Refused) for fault in faults):
            for fault in faults:
                if isinstance(fault, SyncNotApplied):
                    raise fault
            raise RolloutError(f"no worker takes what it is asked: {self._faults()}")

    def _out_of_patience(self) -> str:
        return (
            f"no worker gave a rollout for {self._waits.patience_s:g} seconds "
            f"(rollout.patience_s): {self._faults()}. See to it that they run and can be reached "
            "from here, or set rollout.patience_s to what they need to come back"
        )

    def _faults(self) -> str:
        return "; ".join(map(_named, self.members))

    def _ending(self) -> "asyncio.Future[None]":
        # Not in __init__, which runs where there is no event loop yet.
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def _end(self, error: BaseException) -> None:
        ended = self._ending()
        if not ended.done():
            ended.set_exception(error)
            ended.exception()  # nobody has to be waiting for it

    def _end_with_a_defect(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._end(defect)

    def _raise_if_ended(self) -> None:
        if self._ending().done():
            self._ending().result()


async def end_tasks(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel `tasks` and wait until they are done, whatever came of them."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _named(member: Member) -> str:
    """Which worker, and what was last wrong with it."""
    url, fault = member.worker.url, member.fault
    if fault is None:
        return f"{url}: no fault"
    said = fault.what if isinstance(fault, WorkerFault) else str(fault)
    return said if url in said else f"{url}: {said}"
