"""A run's own server: `stand_in_server` in place of vLLM, the rest is real."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from tersely.errors import RolloutError
from tersely.policy.load import load_policy
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.config import VllmLocalConfig
from tersely.rollout.vllm.local_server import LocalServerSampler
from tersely.rollout.vllm.serving.server import LocalServer


@pytest.fixture
def sampler(
    stand_in_python: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> LocalServerSampler:
    policy = load_policy(checkpoint("qwen2"))
    return LocalServerSampler(policy, VllmLocalConfig(python=stand_in_python), 0, tmp_path)


def snapshot() -> Snapshot:
    return Snapshot({}, version=0)


def test_closed_before_its_first_step_it_starts_nothing(
    sampler: LocalServerSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a run is interrupted while a step is queued."""
    monkeypatch.setattr(LocalServer, "start", lambda self: pytest.fail("a server was started"))
    sampler.close()
    with pytest.raises(RolloutError, match="stopped"):
        sampler.sample([], snapshot(), 1)


def test_it_may_start_beside_an_update(
    sampler: LocalServerSampler, stand_in_checkpoint: Path
) -> None:
    """As where a run goes on with rollouts that it had in flight: while a gradient is taken, the
    model has arrays that nobody else can compute with."""
    sampler._server._options[0] = f"model={stand_in_checkpoint}"
    model = sampler._policy.model
    raised: list[BaseException | None] = []

    def loss(parameters: Any) -> mx.array:
        model.update(parameters)
        with ThreadPoolExecutor() as rollouts:
            raised.append(rollouts.submit(sampler._started).exception())
        return mx.sum(model(mx.array([[1, 2, 3]])))

    mx.eval(mx.grad(loss)(model.trainable_parameters()))
    sampler.close()
    assert [None] == raised


def test_closed_while_it_starts_it_ends_at_once(
    sampler: LocalServerSampler,
) -> None:
    """The thread that waits for the server gets an error; no process is left."""
    raised: list[str] = []

    def sample() -> None:
        try:
            sampler.sample([], snapshot(), 0)
        except RolloutError as error:
            raised.append(str(error))

    thread = threading.Thread(target=sample)
    thread.start()
    while sampler._server._process is None:
        time.sleep(0.01)
    keeper = sampler._server._process.pid
    sampler.close()
    thread.join(60)
    assert ["sampling was stopped"] == raised
    with pytest.raises(ProcessLookupError):
        os.kill(keeper, 0)


def test_a_server_that_is_gone_for_good_ends_the_run_with_the_place_of_its_log(
    sampler: LocalServerSampler, stand_in_checkpoint: Path
) -> None:
    """Nobody would start it again, so waiting for `rollout.patience_s` would be in vain."""
    began = time.monotonic()
    sampler._server._options[0] = f"model={stand_in_checkpoint}"
    sampler._started()
    process = sampler._server._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    while sampler._ended is None:
        assert time.monotonic() - began < 60
        time.sleep(0.01)
    with pytest.raises(RolloutError, match=r"server of this run ended; .*serve\.log"):
        sampler.sample([], snapshot(), 0)
    sampler.close()
