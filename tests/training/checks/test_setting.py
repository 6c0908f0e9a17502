"""Where a check takes its bounds from."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tersely.config import load, register
from tersely.errors import ConfigError
from tersely.policy.load import Policy
from tersely.rollout.local import LocalConfig
from tersely.training.checks.all import Checks
from tersely.training.checks.seen import Setting
from tersely.training.config import Precision, TrainerConfig

CONF = Path(__file__).parents[3] / "conf"


def test_it_is_what_the_stage_trains_with(eager: Callable[..., Policy]) -> None:
    policy = eager("speck")
    assert Setting(
        stage="length",
        target=48,
        max_tokens=96,
        max_staleness=3,
        updates_per_step=4,
        max_gradient_norm=0.5,
        learning_rate=1e-4,
        precision=Precision.bf16_master,
        train_end_of_turn=False,
        end_of_turn_ids=policy.tokenizer.end_of_turn_ids,
        prompts=7,
        posts=9,
    ) == Setting.of(
        policy,
        TrainerConfig(
            steps=3,
            learning_rate=1e-4,
            max_gradient_norm=0.5,
            inner_updates=2,
            mini_batches=2,
            precision=Precision.bf16_master,
            train_end_of_turn=False,
        ),
        LocalConfig(max_tokens=96, max_staleness=3),
        stage="length",
        target=48,
        prompts=7,
        posts=9,
    )


@pytest.mark.parametrize(("given", "strict"), [([], False), (["checks.strict=true"], True)])
def test_strictness_is_a_key_of_the_run(given: list[str], strict: bool) -> None:
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        assert strict is load(compose("config", overrides=given)).checks.strict
        with pytest.raises(ConfigError, match=r"checks\.strictly"):
            load(compose("config", overrides=["+checks.strictly=true"]))


def test_without_a_setting_nothing_is_looked_for() -> None:
    assert {"checks/found": 0.0} == Checks().after_step(None)  # type: ignore[arg-type]
