"""Training with rollouts from a real vLLM server."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from tersely.data.generated import GeneratedConfig
from tersely.data.prompts import PlainPrompt, make_prompts
from tersely.objective.advantages import ZScoreConfig
from tersely.objective.config import GrpoConfig
from tersely.objective.correction_config import NoCorrection
from tersely.policy.load import TINY, Policy, load_policy
from tersely.policy.tuning import LoraConfig
from tersely.records import Example, Prompt
from tersely.rewards.length import LengthConfig
from tersely.rewards.mixture import Mixture
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import RolloutConfig
from tersely.rollout.vllm.config import Sync, VllmConfig, VllmLocalConfig
from tersely.training.config import TrainerConfig
from tersely.training.trainer import train

PROMPTS = tuple(
    Prompt(Example(f"post {n}", "words", ("a reference",)), tuple(range(300, 305 + 9 * n)))
    for n in range(4)
)
LORA = LoraConfig(rank=8)


class Kept:
    def __init__(self) -> None:
        self.metrics: list[Mapping[str, float]] = []

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.metrics.append(metrics)

    def column(self, name: str) -> list[float]:
        return [metrics[name] for metrics in self.metrics]


def trained(
    policy: Policy,
    rollout: RolloutConfig,
    folder: Path,
    *,
    prompts: Sequence[Prompt] = PROMPTS,
    steps: int = 4,
    target: int = 12,
    learning_rate: float = 3e-3,
) -> Kept:
    kept = Kept()
    train(
        policy,
        prompts,
        Mixture((LengthConfig(target=target).build(),)),
        rollout.build(policy, 5, folder),
        trainer=TrainerConfig(steps=steps, prompts_per_step=2, learning_rate=learning_rate),
        rollout=rollout,
        advantage=ZScoreConfig(),
        loss=GrpoConfig(beta=0),
        correction=NoCorrection(),
        seed=5,
        reporter=kept,
        skipped=folder / "skipped",
    )
    return kept


def quick_to_stop(policy: Policy) -> Policy:
    """Random weights hardly ever draw the one end-of-turn id; here a sixth of all ids are one."""
    policy.tokenizer.end_of_turn_ids = frozenset(range(340))
    return policy


def vllm(url: str, **changes: Any) -> VllmConfig:
    values = {"group_size": 4, "max_tokens": 24, "probe_tolerance": 1e-4} | changes
    return VllmConfig(workers=[url], **values)


@pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
@pytest.mark.parametrize("sync", [Sync.reload, Sync.lora])
def test_in_turn_sampler_and_trainer_agree_on_every_token(
    architecture: str,
    sync: Sync,
    real_server: Callable[..., str],
    hub_checkpoint: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """The weights are new at every step and the ratio is 1 all the same: what samples is what
    trains. A probe holds every publication to 1e-4 nats beside that."""
    policy = quick_to_stop(load_policy(hub_checkpoint(architecture)))
    if sync is Sync.lora:
        policy.attach(LORA, seed=2)
    url = real_server(hub_checkpoint(architecture), lora_rank=8)

    kept = trained(policy, vllm(url, sync=sync, max_staleness=0), tmp_path)

    assert [0, 0, 0, 0] == kept.column("rollout/staleness")
    assert max(kept.column("loss/mismatch_kl")) < 1e-8
    assert [1, 1, 1, 1] == pytest.approx(kept.column("loss/ratio_mean"), abs=1e-4)
    assert min(kept.column("update/changed_share")) > 0.4
    assert [1, 1, 1, 1] == kept.column("rollout/live_workers")
    assert [0, 0, 0, 0] == kept.column("rollout/discarded")


def test_overlapped_rollouts_are_one_update_old_and_say_so(
    real_server: Callable[..., str], hub_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Two updates old where workers get new weights every other step only."""
    url = real_server(hub_checkpoint("qwen2"), lora_rank=8)
    one = trained(quick_to_stop(load_policy(hub_checkpoint("qwen2"))), vllm(url), tmp_path)
    seldom = vllm(url, max_staleness=2, sync_every=2)
    other = trained(quick_to_stop(load_policy(hub_checkpoint("qwen2"))), seldom, tmp_path)

    assert [0, 1, 1, 1] == one.column("rollout/staleness")
    assert one.column("loss/mismatch_kl")[0] < 1e-8 < min(one.column("loss/mismatch_kl")[1:])
    assert [0, 1, 2, 1] == other.column("rollout/staleness")


def test_it_can_be_repeated(
    real_server: Callable[..., str], hub_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """The same seed draws the same completions, however they were batched."""
    url = real_server(hub_checkpoint("qwen2"), lora_rank=8)
    config = vllm(url, max_staleness=0)
    policies = [quick_to_stop(load_policy(hub_checkpoint("qwen2"))) for _ in range(2)]
    one, other = (trained(policy, config, tmp_path, steps=2) for policy in policies)
    assert one.column("length/mean") == other.column("length/mean")
    assert one.column("reward/mean") == pytest.approx(other.column("reward/mean"))


def test_it_learns_what_the_local_sampler_learns(
    real_server: Callable[..., str], tmp_path: Path
) -> None:
    """The embedded model comes from some 80 tokens to fewer: the mean reward -|length - 40| / 40
    of the last steps, from either sampler; the draws are others, so not to the last digit."""
    posts = GeneratedConfig(train=16, validation=1, test=1).build().train
    url = real_server(TINY)
    runs = {}
    for config in (
        LocalConfig(group_size=8, max_tokens=128, max_staleness=0),
        vllm(url, group_size=8, max_tokens=128, max_staleness=0),
    ):
        policy = load_policy(TINY)
        prompts = make_prompts(posts, policy.tokenizer, PlainPrompt(), "train")
        runs[type(config).__name__] = trained(
            policy,
            config,
            tmp_path,
            prompts=prompts,
            steps=16,
            target=40,
            learning_rate=2e-4,
        ).column("reward/mean")
    gained = {name: fmean(rewards[-4:]) - fmean(rewards[:4]) for name, rewards in runs.items()}
    assert min(gained.values()) > 0.2, runs
    assert gained["LocalConfig"] == pytest.approx(gained["VllmConfig"], abs=0.2), runs


def test_a_run_starts_and_ends_a_server_of_its_own(
    vllm_python: str, hub_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    policy = quick_to_stop(load_policy(hub_checkpoint("qwen2")))
    config = VllmLocalConfig(
        group_size=4, max_tokens=24, probe_tolerance=1e-4, python=vllm_python, max_staleness=0
    )
    kept = trained(policy, config, tmp_path, steps=2)

    assert max(kept.column("loss/mismatch_kl")) < 1e-8
    assert [file.name for file in (tmp_path / "vllm").iterdir()]
