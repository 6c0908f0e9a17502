"""All workers of a run: a group of rollouts is spread over them, and comes back whole."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tersely.rollout.vllm.fleet.replies import Dialect, WrongVersion
from tersely.rollout.vllm.fleet.roster import Bring, Member, Roster, Waits, end_tasks
from tersely.rollout.vllm.fleet.shares import Request, split
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import (
    Completion,
    Published,
    Sampling,
    Share,
    WorkerFault,
)


@dataclass(frozen=True)
class FleetCounts:
    """What happened since the run began."""

    workers: int
    """That the run has."""
    live: int
    """Of them, that can be asked now."""
    requests: int
    """For rollouts."""
    retried: int
    """Rollouts that were asked for again after a failure."""
    discarded: int
    """Rollouts that came from other weights than asked for, and were thrown away."""
    faults: int
    """How often a worker failed and was left out."""


class _Step:
    """The rollouts of one step while they come in."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.waiting = [
            Share(group, 0, request.count, request.prompt, request.seed)
            for group, request in enumerate(requests)
        ]
        """What nobody is asked for yet, or any more."""
        self.asked: dict[asyncio.Task[list[Completion]], tuple[Member, Share]] = {}
        self._found: list[dict[int, Completion]] = [{} for _ in requests]

    @property
    def missing(self) -> bool:
        return bool(self.waiting or self.asked)

    def put(self, share: Share, completions: Sequence[Completion]) -> None:
        places = range(share.first, share.first + share.count)
        self._found[share.group].update(zip(places, completions, strict=True))

    def groups(self) -> list[list[Completion]]:
        return [[found[place] for place in sorted(found)] for found in self._found]


class Fleet:
    """The workers of a run as one. Its coroutines run on one event loop; one `sample` at a time."""

    def __init__(
        self,
        workers: Sequence[Worker],
        bring: Bring,
        *,
        dialect: Dialect,
        requests_per_worker: int,
        waits: Waits,
    ) -> None:
        """`bring` gives a worker new weights. Nothing is asked of the workers yet."""
        members = [Member(worker, asyncio.Semaphore(requests_per_worker)) for worker in workers]
        self._roster = Roster(members, bring, waits)
        self._dialect = dialect
        self._turn = self._requests = self._retried = self._discarded = 0

    @property
    def counts(self) -> FleetCounts:
        """Up to now; may be read in any thread."""
        return FleetCounts(
            workers=len(self._roster.members),
            live=len(self._roster.live),
            requests=self._requests,
            retried=self._retried,
            discarded=self._discarded,
            faults=self._roster.faults,
        )

    async def publish(self, published: Published) -> None:
        """Bring every worker to these weights; those that fail at it are left out, and get them
        when they are back. See `Roster.publish` for what it raises."""
        await self._roster.publish(published)

    async def sample(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> list[list[Completion]]:
        """The completions of each request, `[P][G]`, in order, under the published weights.

        What one worker fails at is asked of the others, with the same seeds. Raises `RolloutError`
        when none is left, see `Roster.anyone`.
        """
        step = _Step(requests)
        try:
            while step.missing:
                if step.waiting:
                    self._ask(await self._roster.anyone(), step, sampling)
                for task in await self._roster.first_of(step.asked):
                    await self._take(task, step)
        finally:
            await end_tasks(step.asked)
        return step.groups()

    async def close(self) -> None:
        """End everything, connections too. A `sample` in progress raises `RolloutError`."""
        await self._roster.close()

    def _ask(self, members: Sequence[Member], step: _Step, sampling: Sampling) -> None:
        for whole in step.waiting:
            for part, share in split(whole, len(members), self._turn % len(members)):
                request = self._roster.start(self._request(members[part], share, sampling))
                step.asked[request] = (members[part], share)
            self._turn += 1
        step.waiting = []

    async def _request(self, member: Member, share: Share, sampling: Sampling) -> list[Completion]:
        async with member.slots:
            self._requests += 1
            return await member.worker.sample(
                share, sampling, tag=self._roster.current.tag, dialect=self._dialect
            )

    async def _take(self, task: "asyncio.Task[list[Completion]]", step: _Step) -> None:
        """What came of a request: completions, or more to ask for again."""
        if task not in step.asked:
            return  # given up with its worker a moment ago
        member, share = step.asked.pop(task)
        try:
            step.put(share, task.result())
            self._roster.sampled(member)
        except WorkerFault as fault:
            if isinstance(fault, WrongVersion):
                self._discarded += share.count
            if member.live:
                self._roster.exclude(member, fault)
            await self._give_up(member, step)
            step.waiting.append(share)
            self._retried += share.count

    async def _give_up(self, member: Member, step: _Step) -> None:
        """Ask `member` for nothing more: others may have it done before it would even fail."""
        pending = [
            task for task, (asked, _) in step.asked.items() if asked is member and not task.done()
        ]
        for task in pending:
            _, share = step.asked.pop(task)
            step.waiting.append(share)
            self._retried += share.count
        await end_tasks(pending)
