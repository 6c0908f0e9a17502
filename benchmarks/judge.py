"""What judging costs beside the endpoint's own time.

`python benchmarks/judge.py [--quick]` judges 200 summaries by G-Eval, 4 metrics in 5 rounds, and by
the panel, in 5 requests a summary, against an endpoint on loopback that takes 0.2 s for a request
and works on 32 at once; and then again. `--quick`: one round. A line an arm on stderr, one JSON
object on stdout.

- `seconds`: of the evaluation. `ideal`: calls / 32 * 0.2 s. `ratio`: of the two; the goal is 1.15.
- `own_ms`: CPU time of this process for a call, in ms; the goal is 2. The endpoint has a process of
  its own. A reply to G-Eval has 50 tokens with ten log-probabilities each.
- `again_calls`, `again_seconds`: of the second evaluation; the goal is no request.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

from tersely.data.generated import GeneratedConfig
from tersely.evaluation.judges.config import EndpointConfig, GevalConfig, PanelConfig
from tersely.evaluation.judges.verdicts import METRICS, Judged

LATENCY_S = 0.2
AT_ONCE = 32
SUMMARIES = 200


def replies() -> dict[bool, bytes]:
    """Replies with log-probabilities (to G-Eval) and without (to the panel)."""
    verdict = {"reason": f"{'All that it says is in the post. ' * 5}", "score": 7}
    panel = json.dumps({metric: verdict for metric in METRICS})
    return {True: response(json.dumps(verdict), logprobs=True), False: response(panel)}


def response(text: str, logprobs: bool = False) -> bytes:
    """A chat completion as an HTTP response; tokens are of four characters, but for the score."""
    others = [{"token": str(score), "logprob": -1.0 - score, "bytes": None} for score in range(10)]
    pieces = [*(text[:-2][i : i + 4] for i in range(0, len(text) - 2, 4)), text[-2], text[-1]]
    tokens = [
        {"token": piece, "logprob": -0.1, "bytes": None, "top_logprobs": others} for piece in pieces
    ]
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": tokens} if logprobs else None,
    }
    usage = {"prompt_tokens": 500, "completion_tokens": len(tokens), "total_tokens": 550}
    body = json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def serve(pipe: Connection) -> None:
    """An endpoint in a process of its own: tells its port and, when asked, its requests so far."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    answers, calls = replies(), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            calls += 1
            await asyncio.sleep(LATENCY_S)
            writer.write(answers[b'"top_logprobs"' in body])

    async def talk_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk_to_the_end, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    while await asyncio.to_thread(pipe.recv):
        pipe.send(calls)


def items() -> list[Judged]:
    """Generated posts, with their references for summaries."""
    data = GeneratedConfig(train=1, validation=1, test=SUMMARIES).build()
    return [Judged(each.id, each.post, each.references[0]) for each in data.test]


def measure(config: type[EndpointConfig], rounds: int, calls: int) -> dict[str, Any]:
    """Judge twice."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        judge = config(
            base_url=f"http://127.0.0.1:{here.recv()}/v1",
            model="judge",
            api_key_env=None,
            rounds=rounds,
            max_concurrent=AT_ONCE,
            cache_folder=folder,
        ).build()
        judged = items()
        began, cpu = time.perf_counter(), time.process_time()
        judge.judge(judged)
        seconds, own = time.perf_counter() - began, time.process_time() - cpu
        here.send(True)
        asked = here.recv()
        assert asked == calls, (asked, calls)
        began = time.perf_counter()
        judge.judge(judged)
        again = time.perf_counter() - began
        here.send(True)
        asked_again = here.recv() - asked
    here.send(False)
    server.join()
    ideal = calls / AT_ONCE * LATENCY_S
    return {
        "calls": calls,
        "seconds": round(seconds, 2),
        "ideal": round(ideal, 2),
        "ratio": round(seconds / ideal, 3),
        "own_ms": round(own / calls * 1000, 2),
        "again_calls": asked_again,
        "again_seconds": round(again, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else 5
    results = {}
    for name, config, per_summary in (("geval", GevalConfig, 4), ("panel", PanelConfig, 1)):
        results[name] = measure(config, rounds, SUMMARIES * per_summary * rounds)
        print(name, results[name], file=sys.stderr)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
