"""`tersely.rollout.serve` with a real vLLM."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from tersely.policy.load import load_policy
from tersely.rollout.vllm.token import token_for


def call(url: str, path: str, body: Any = None, token: str | None = None) -> Any:
    """JSON from a GET, or from a POST of `body`; with the user's own token by default."""
    headers = {"content-type": "application/json"}
    headers["authorization"] = f"Bearer {token or token_for(url)}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, headers)
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline, "did not happen within 120 s"
        time.sleep(0.2)


def servers_on(port: str) -> set[int]:
    """The vLLM servers that were started for a port, without their keepers."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            said = file.read_text()
            if f"--port\0{port}\0" in said and "keeper" not in said:
                found.add(int(file.parent.name))
    return found


def group_of(server: int) -> set[int]:
    """A server and its processes."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(folder.name)) == server:
                found.add(int(folder.name))
    return found


@pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
def test_logprobs_are_the_policys_in_any_company(
    real_server: Callable[..., str], hub_checkpoint: Callable[[str], Path], architecture: str
) -> None:
    """Long prompts with seeds, 24 at a time, which would end a server that splits prompts. Each
    gives what it gives alone, with the log-probabilities that MLX computes: float32 on both
    sides."""
    folder = hub_checkpoint(architecture)
    url, policy = real_server(folder, lora_rank=8), load_policy(folder)
    prompts = [[5 + (seed * 31 + place * 7) % 2000 for place in range(900)] for seed in range(24)]

    def sampled(seed: int) -> tuple[list[int], list[float]]:
        parameters = {"temperature": 1.0, "max_tokens": 4, "logprobs": 0, "seed": seed}
        body = {"model": "policy", "token_ids": prompts[seed], "sampling_params": parameters}
        choice = call(url, "/inference/v1/generate", body)["choices"][0]
        return choice["token_ids"], [token["logprob"] for token in choice["logprobs"]["content"]]

    with ThreadPoolExecutor(24) as pool:
        together = list(pool.map(sampled, range(24)))
    for seed in (0, 11, 23):
        ids, logprobs = sampled(seed)
        assert ids == together[seed][0]
        assert logprobs == pytest.approx(together[seed][1], abs=1e-4)
        logits = policy.model(mx.array([prompts[seed] + ids]))[0, 899:903]
        expected = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        for place, token in enumerate(ids):
            assert expected[place, token].item() == pytest.approx(logprobs[place], abs=1e-4)


def test_logprobs_are_those_of_the_temperature(
    real_server: Callable[..., str], hub_checkpoint: Callable[[str], Path]
) -> None:
    """The two likeliest tokens of one place have logits l1 and l2, and
    log p1 - log p2 = (l1 - l2) / T: four times as much at T = 0.25 as at 1."""
    url = real_server(hub_checkpoint("qwen2"), lora_rank=8)

    def difference(temperature: float) -> float:
        parameters = {"temperature": temperature, "max_tokens": 1, "logprobs": 5, "seed": 1}
        body = {"model": "policy", "token_ids": [5, 6, 7], "sampling_params": parameters}
        reply = call(url, "/inference/v1/generate", body)
        likeliest = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        of_rank = {token["rank"]: float(token["logprob"]) for token in likeliest}
        return of_rank[1] - of_rank[2]

    assert 4 * difference(1.0) == pytest.approx(difference(0.25), rel=1e-3)


def test_the_worker_side_answers(
    real_server: Callable[..., str], hub_checkpoint: Callable[[str], Path]
) -> None:
    folder = hub_checkpoint("qwen2")
    url = real_server(folder, lora_rank=8)
    said = call(url, "/collective_rpc", {"method": "tersely_describe"})["results"][0]
    assert (str(folder), "float32", 1024) == (said["model"], said["dtype"], said["max_model_len"])
    assert 8 == said["max_lora_rank"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_server_from_its_start_to_its_end(vllm_python: str, tmp_path: Path) -> None:
    """A token that it wants; an engine that is killed and comes back; and the end of serve by
    SIGKILL, which leaves no process behind."""
    command = [sys.executable, "-m", "tersely.rollout.serve", "model=tiny", "port=0"]
    serve = subprocess.Popen(
        [*command, f"python={vllm_python}", f"log_folder={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TERSELY_TOKEN": "geheim", "TMPDIR": str(tmp_path)},
    )
    assert serve.stdout is not None
    try:
        url = serve.stdout.readline().strip().removeprefix("rollout.workers=[").rstrip("]")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            call(url, "/collective_rpc", {"method": "tersely_describe"})

        def models() -> list[str]:
            try:
                return [each["id"] for each in call(url, "/v1/models", token="geheim")["data"]]
            except urllib.error.URLError:
                return []

        assert ["policy"] == models()
        port = url.rpartition(":")[2]
        (first,) = servers_on(port)
        os.kill(max(group_of(first)), signal.SIGKILL)  # started last: the engine
        wait_for(lambda: first not in servers_on(port) and models() == ["policy"])

        (second,) = servers_on(port)
        assert 2 <= len(group_of(second))
        serve.kill()
        wait_for(lambda: not group_of(second))
    finally:
        serve.kill()
        serve.wait()
        serve.stdout.close()
