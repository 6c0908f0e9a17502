"""Seconds a step when a worker samples beside the update, and when both take turns.

`python benchmarks/overlap.py [--quick]` trains the embedded model on generated posts: the real
loop, schedule, client and update. Only the worker is none: a process that answers each request
after a set time with completions that the model sampled before, which costs this machine nothing,
as a worker on another one would. Weights do not travel; `sync.py` measures that.

An update is timed first; the worker takes 0.5, 1 and 2 times that. Runs with
`rollout.max_staleness=1` (`beside`) and 0 (`in_turn`) alternate, so that a drift of the machine's
speed meets both alike.

- `sampling`, `updating`, `wall`: seconds a step, means over the steps of all runs. `wall` is from
  the end of a step to the end of the next. Steps differ, and what one waits another may save.
- `wall_over_max`: `wall` over the larger of the other two. 1 is the best that can be had; the goal
  of `beside` is at most 1.05. `in_turn` comes to 1.5, 2 and 1.5 by itself.

`--quick` is ratio 1 and one pair of runs. The last line is the report, in JSON.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from tersely.policy.allocator import keep_freed_memory
from tersely.policy.blas import load_fast_blas

load_fast_blas()
keep_freed_memory()

from tersely.data.generated import GeneratedConfig  # noqa: E402
from tersely.data.prompts import PlainPrompt, make_prompts  # noqa: E402
from tersely.objective.advantages import ZScoreConfig  # noqa: E402
from tersely.objective.config import GrpoConfig  # noqa: E402
from tersely.objective.correction_config import NoCorrection  # noqa: E402
from tersely.policy.load import Policy, TinyModelConfig  # noqa: E402
from tersely.records import Group, Prompt, Rollout  # noqa: E402
from tersely.rewards.length import LengthConfig  # noqa: E402
from tersely.rewards.mixture import Mixture  # noqa: E402
from tersely.rewards.rouge import RougeConfig  # noqa: E402
from tersely.rollout.local import LocalConfig  # noqa: E402
from tersely.rollout.sampler import RolloutConfig, Sampler, Snapshot  # noqa: E402
from tersely.rollout.vllm.fleet.fleet import Fleet  # noqa: E402
from tersely.rollout.vllm.fleet.replies import Dialect  # noqa: E402
from tersely.rollout.vllm.fleet.roster import Waits  # noqa: E402
from tersely.rollout.vllm.fleet.shares import Request  # noqa: E402
from tersely.rollout.vllm.fleet.worker import Worker  # noqa: E402
from tersely.rollout.vllm.loop import LoopThread  # noqa: E402
from tersely.rollout.vllm.records import Published, Sampling  # noqa: E402
from tersely.training.config import TrainerConfig  # noqa: E402
from tersely.training.trainer import train  # noqa: E402

SEED, PROMPTS, PER_STEP, GROUP, MAX_TOKENS = 0, 16, 4, 8, 192
STEPS, SKIPPED = 12, 3
"""Of a run; in the first ones shapes are met for the first time and nothing is sampled ahead."""
RATIOS, PAIRS = (0.5, 1.0, 2.0), 3
GOAL = 1.05


class Spent(NamedTuple):
    """Seconds of one step."""

    sampling: float
    updating: float
    wall: float


class Clock:
    """Reports nothing and notes the time."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, Mapping[str, float]]] = []

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Reporter`."""
        self._seen.append((time.perf_counter(), metrics))

    def spent(self) -> list[Spent]:
        """Of the steps that count."""
        steps = self._seen[SKIPPED:]
        before = self._seen[SKIPPED - 1 : -1]
        return [
            Spent(metrics["time/sampling"], metrics["time/updating"], end - start)
            for (start, _), (end, metrics) in zip(before, steps, strict=True)
        ]


class WorkerSampler(Sampler):
    """Asks the worker for rollouts, as the sampler of `rollout=vllm` does, but for the weights,
    of which the worker gets the name only."""

    def __init__(self, policy: Policy, url: str) -> None:
        self._tokenizer = policy.tokenizer
        self._loop = LoopThread("workers")
        self._fleet = Fleet(
            [Worker(url, timeout_s=60)],
            _bring,
            dialect=Dialect.tagged,
            requests_per_worker=16,
            waits=Waits(patience_s=60),
        )

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """See `Sampler.sample`."""
        tag = f"overlap-{snapshot.version}"
        published = Published(snapshot.version, tag, Path(), {}, lambda prompt, ids: [])
        self._loop.run(self._fleet.publish(published))
        stop = tuple(sorted(self._tokenizer.end_of_turn_ids))
        requests = [Request(prompt.token_ids, GROUP, step * GROUP) for prompt in prompts]
        sampled = self._loop.run(self._fleet.sample(requests, Sampling(MAX_TOKENS, 1.0, stop)))
        return tuple(
            Group(
                prompt,
                tuple(
                    Rollout(
                        *completion, snapshot.version, self._tokenizer.decode(list(completion[0]))
                    )
                    for completion in completions
                ),
            )
            for prompt, completions in zip(prompts, sampled, strict=True)
        )

    def close(self) -> None:
        """See `Sampler.close`. Leaving the loop of the trainer calls it."""
        self._loop.run(self._fleet.close())
        self._loop.close()


async def _bring(worker: Worker, published: Published) -> None:
    await worker.call("/bring", {"tag": published.tag})


def trained(url: str, prompts: Sequence[Prompt], max_staleness: int, latency: float) -> list[Spent]:
    """What the steps of one run took, with a worker that answers after `latency` seconds."""
    asyncio.run(_set_latency(url, latency))
    policy, clock = TinyModelConfig().build(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(
            policy,
            prompts,
            Mixture((LengthConfig().build(), *RougeConfig().quality())),
            WorkerSampler(policy, url),
            trainer=TrainerConfig(steps=STEPS, prompts_per_step=PER_STEP),
            rollout=RolloutConfig(
                group_size=GROUP, max_tokens=MAX_TOKENS, max_staleness=max_staleness
            ),
            advantage=ZScoreConfig(),
            loss=GrpoConfig(),
            correction=NoCorrection(),
            seed=SEED,
            reporter=clock,
            skipped=Path(folder),
        )
    return clock.spent()


async def _set_latency(url: str, seconds: float) -> None:
    worker = Worker(url, timeout_s=10)
    try:
        await worker.call("/latency", {"seconds": seconds})
    finally:
        await worker.close()


def summary(steps: Sequence[Spent]) -> dict[str, float]:
    """Means, and how far from the best that can be had."""
    sampling, updating, wall = map(statistics.fmean, zip(*steps, strict=True))
    return {
        "sampling": round(sampling, 3),
        "updating": round(updating, 3),
        "wall": round(wall, 3),
        "wall_over_max": round(wall / max(sampling, updating), 3),
    }


def canned(prompts: Sequence[Prompt]) -> dict[str, list[tuple[Any, ...]]]:
    """What the model samples for each prompt: ids, log-probabilities and reason of the end."""
    policy = TinyModelConfig().build()
    config = LocalConfig(group_size=GROUP, max_tokens=MAX_TOKENS)
    groups = config.build(policy, SEED).sample(prompts, Snapshot(policy.parameters(), 0), 0)
    return {
        _key(group.prompt.token_ids): [
            (rollout.token_ids, rollout.sampler_logprobs, rollout.finish_reason)
            for rollout in group.rollouts
        ]
        for group in groups
    }


def _key(token_ids: Sequence[int]) -> str:
    return " ".join(map(str, token_ids))


@contextmanager
def worker_process(completions: Mapping[str, Any]) -> Iterator[str]:
    """The address of a worker that answers with `completions`."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(completions) + "\n")
        process.stdin.flush()
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdin.close()
        process.stdout.close()


async def serve(completions: Mapping[str, Any]) -> None:
    """Be that worker, and print the address."""
    state: dict[str, Any] = {"tag": "", "seconds": 0.0}

    async def take(request: web.Request) -> web.Response:
        state.update(await request.json())
        return web.Response()

    async def generate(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(state["seconds"])
        how, group = body["sampling_params"], completions[_key(body["token_ids"])]
        choices = [
            _choice(index, group[(how["seed"] + index) % len(group)], state["tag"])
            for index in range(how["n"])
        ]
        return web.json_response({"request_id": body["request_id"], "choices": choices})

    app = web.Application()
    app.router.add_post("/bring", take)
    app.router.add_post("/latency", take)
    app.router.add_post("/inference/v1/generate", generate)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def _choice(index: int, completion: Sequence[Any], tag: str) -> dict[str, Any]:
    ids, logprobs, finish = completion
    scored = zip(ids, logprobs, strict=True)
    return {
        "index": index,
        "token_ids": ids,
        "finish_reason": finish,
        "logprobs": {"content": [{"token_id": token, "logprob": value} for token, value in scored]},
        "weight_versions": [{"version": tag, "start": 0, "end": len(ids)}],
    }


def measure(ratios: Sequence[float], pairs: int) -> dict[str, Any]:
    """The report."""
    policy = TinyModelConfig().build()
    examples = GeneratedConfig(train=PROMPTS, validation=1, test=1).build().train
    prompts = make_prompts(examples, policy.tokenizer, PlainPrompt(), "train")
    report: dict[str, Any] = {}
    with worker_process(canned(prompts)) as url:
        update = statistics.median(spent.updating for spent in trained(url, prompts, 0, 0.0))
        for ratio in ratios:
            arms: dict[str, list[Spent]] = {"in_turn": [], "beside": []}
            for _ in range(pairs):
                arms["in_turn"] += trained(url, prompts, 0, ratio * update)
                arms["beside"] += trained(url, prompts, 1, ratio * update)
            found = {arm: summary(steps) for arm, steps in arms.items()}
            print(f"sampling / updating {ratio:g}: {json.dumps(found)}", file=sys.stderr)
            report[f"ratio_{ratio:g}"] = found
    worst = max(found["beside"]["wall_over_max"] for found in report.values())
    return {"update_s": round(update, 3), **report, "worst_beside": worst, "goal": GOAL}


def main() -> None:
    """Measure, or be the worker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(serve(json.loads(sys.stdin.readline())))
    else:
        print(json.dumps(measure((1.0,), 1) if arguments.quick else measure(RATIOS, PAIRS)))


if __name__ == "__main__":
    main()
