"""The sampler that asks vLLM servers, as a rollout engine."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_receivers import MarkScorer, ReceivingWorker
from fake_workers import STOP
from rollout.engine_contract import keep_the_contract

from tersely.policy.load import load_policy
from tersely.records import Example, Prompt
from tersely.rollout.vllm import sampler as sampler_module
from tersely.rollout.vllm.config import VllmConfig
from tersely.rollout.vllm.loop import LoopThread

PROMPTS = tuple(
    Prompt(Example(f"post {n}", "words", ("a reference",)), (5, 600 + n)) for n in range(3)
)


def test_it_keeps_the_contract_of_engines(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two workers, which share the prompts between them."""
    monkeypatch.setattr(sampler_module, "TrainerScorer", MarkScorer)
    policy = load_policy(checkpoint("speck"))
    policy.tokenizer.end_of_turn_ids = frozenset({STOP})
    workers = [ReceivingWorker(), ReceivingWorker()]
    machines = LoopThread("machines of the workers")
    for worker in workers:
        machines.run(worker.start())
    try:
        config = VllmConfig(workers=[worker.url for worker in workers], group_size=4, max_tokens=24)
        keep_the_contract(config, policy, PROMPTS)
    finally:
        for worker in workers:
            machines.run(worker.stop())
        machines.close()
    assert all(worker.asked for worker in workers)
    assert [] == [wrong for worker in workers for wrong in worker.wrongs]
