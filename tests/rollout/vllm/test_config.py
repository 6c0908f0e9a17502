"""What `rollout=vllm` refuses before a run begins."""

from pathlib import Path
from typing import Any

import pytest

from tersely.errors import ConfigError
from tersely.policy.tuning import FullConfig, LoraConfig
from tersely.rollout.vllm.config import Sync, VllmConfig, VllmLocalConfig

HERE = "http://127.0.0.1:8000"


def config(**changes: Any) -> VllmConfig:
    return VllmConfig(**({"workers": [HERE]} | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": []}, r"rollout.workers is empty; start one with `python -m tersely.rollout"),
        ({"workers": ["127.0.0.1:8000"]}, r"'127.0.0.1:8000', which is no address .* http://HOST"),
        ({"workers": ["http://a/v1"], "publish_folder": "x"}, r"'http://a/v1', which is no addr"),
        ({"workers": [HERE, HERE + "/"]}, r"names a worker twice"),
        ({"workers": [HERE, "http://localhost:8000"]}, r"names a worker twice"),
        ({"workers": ["http://127.0.0.1:99999"]}, r"no address of a server"),
        ({"workers": ["http://127.0.0.1:8000?x=1"]}, r"no address of a server"),
        ({"top_p": 0.9}, r"rollout.top_p=0.9 cannot be had from vLLM"),
        ({"timeout_s": 0.0}, r"rollout.timeout_s must be above 0"),
        ({"patience_s": float("inf")}, r"inf; the most is 1e\+06, and the default 600"),
        ({"timeout_s": float("inf")}, r"rollout.timeout_s .* inf; the most is 1e\+06"),
        ({"probe_tolerance": 0.0}, r"rollout.probe_tolerance must be above 0"),
        ({"requests_per_worker": 0}, r"rollout.requests_per_worker must be at least 1"),
        ({"publish_port": 65536}, r"rollout.publish_port must lie in 0 to 65535"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(**changes)


def test_a_worker_elsewhere_needs_an_address_that_it_can_reach() -> None:
    """Or a folder that it sees; what listens on loopback alone is of no use to it."""
    mixed = [HERE, "http://mini-2.local:8000"]
    with pytest.raises(ConfigError, match=r"http://mini-2\.local:8000 is another machine.*0\.0\.0"):
        config(workers=mixed)
    config(workers=mixed, publish_host="0.0.0.0")
    config(workers=mixed, publish_host="192.168.1.2")
    config(workers=mixed, publish_folder="/mnt/both")
    config(workers=[HERE, "http://localhost:8001", "http://[::1]:8002"])


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """What is configured is kept with the run."""
    with pytest.raises(ConfigError, match="TERSELY_TOKEN") as caught:
        config(workers=["http://me:hunter2@127.0.0.1:8000"])
    assert "hunter2" not in str(caught.value)


def test_a_run_that_starts_its_own_server_needs_a_vllm_to_start(tmp_path: Path) -> None:
    """Known before anything is scored."""
    with pytest.raises(ConfigError, match=r"vllm_local cannot start a server.*rollout\.python"):
        VllmLocalConfig(python=str(tmp_path / "nothing")).check(FullConfig())


def test_a_context_says_its_most_as_well_as_its_least() -> None:
    with pytest.raises(ConfigError, match=r"rollout\.context must be at most 10000000, got 2000"):
        VllmLocalConfig(context=20_000_000)
    with pytest.raises(ConfigError, match=r"rollout\.context=72 has no room"):
        VllmLocalConfig(context=72, max_tokens=72)


def test_a_slash_at_the_end_of_an_address_is_dropped() -> None:
    assert [HERE] == config(workers=[HERE + "/"]).workers


def test_adapters_are_published_only_where_there_are_some() -> None:
    with pytest.raises(ConfigError, match=r"tuning=full trains none; set tuning=lora"):
        config(sync=Sync.lora).check(FullConfig())
    config(sync=Sync.lora).check(LoraConfig())
    config(sync=Sync.reload).check(LoraConfig())
    with pytest.raises(ConfigError, match="trains none"):
        VllmLocalConfig(sync=Sync.lora).check(FullConfig())


def test_adapters_of_a_rank_that_vllm_takes() -> None:
    """Known before anything is scored."""
    config(sync=Sync.lora).check(LoraConfig(rank=256))
    with pytest.raises(ConfigError, match=r"tuning\.rank=257 is more than vLLM takes"):
        config(sync=Sync.lora).check(LoraConfig(rank=257))
    config(sync=Sync.reload).check(LoraConfig(rank=257))


@pytest.mark.parametrize(("context", "longest"), [(0, 4000), (500, 404)])
def test_a_server_has_room_for_every_prompt(context: int, longest: int) -> None:
    """4,096 positions where nothing is said; 96 of them are the completion's."""
    config = VllmLocalConfig(context=context, max_tokens=96)
    config.check_prompts(longest)
    with pytest.raises(ConfigError, match=rf"set rollout\.context={longest + 97}"):
        config.check_prompts(longest + 1)
