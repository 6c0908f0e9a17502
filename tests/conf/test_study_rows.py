"""The rows of the study's tables, as experiments: their choices and their settings."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tersely.analysis.published import ZeroShot, published
from tersely.config import Config, load, load_for, register
from tersely.evaluation_config import EVALUATE, Evaluation, Split
from tersely.objective.advantages import ZScoreConfig
from tersely.objective.aggregation import Aggregation
from tersely.objective.config import GrpoConfig, StudyConfig
from tersely.objective.correction_config import NoCorrection
from tersely.policy.load import HubModelConfig
from tersely.policy.tuning import FullConfig
from tersely.training.config import Precision

EXPERIMENTS = Path(__file__).parents[2] / "conf" / "experiment"
MODELS = {"Qwen2.5-0.5B": ("qwen", "qwen2_5_0_5b"), "LFM-2.5-350M": ("lfm", "lfm2_5_350m")}
BOTH = pytest.mark.parametrize("base", ["study", "sound"])

Composed = Callable[..., DictConfig]


def row_of(model: str, strategy: str, reward: str) -> str:
    """`qwen_joint_rouge`, and `qwen_length` for what both strategies are compared with."""
    short, _ = MODELS[model]
    return f"{short}_length" if reward == "length" else f"{short}_{strategy}_{reward}"


ROWS = {
    row_of(run.model, run.strategy, run.reward): {
        "model": MODELS[run.model][1],
        "strategy": run.strategy,
        "reward": run.reward,
    }
    for run in published().runs
}


@BOTH
def test_there_is_a_file_for_every_trained_row_and_no_other(base: str) -> None:
    """The tables have 2 x 2 x 7 = 28 rows; length-only is one run that stands in two of them."""
    assert 26 == len(ROWS)
    assert set(ROWS) == {file.stem for file in (EXPERIMENTS / base).glob("*.yaml")}


@BOTH
@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_its_base_with_its_model_strategy_and_reward(
    base: str, row: str, composed: Composed
) -> None:
    """So what the tests below say of the base holds for each of its rows."""
    typed = [f"{group}={choice}" for group, choice in ROWS[row].items()]

    config = load(composed(f"experiment={base}/{row}"))

    assert load(composed(f"experiment={base}", *typed)) == config


def test_the_study_is_the_study(composed: Composed) -> None:
    """Its table 9: 2e-6, 2 prompts, gradient norm 1, clip 0.2, KL weight 1e-4, 2 x 4 completions of
    at most 512 tokens, 1 epoch, bfloat16, no LoRA. And what its code did: see each."""
    config = load(composed("experiment=study"))

    trainer, rollout = config.trainer, config.rollout
    assert (2e-6, 2, 1.0) == (
        trainer.learning_rate,
        trainer.prompts_per_step,
        trainer.max_gradient_norm,
    )
    assert (None, 1.0, 1) == (trainer.steps, trainer.epochs, trainer.updates_per_step)
    assert 1000 == trainer.steps_for(2000)
    assert (8, 512) == (rollout.group_size, rollout.max_tokens)
    assert isinstance(config.tuning, FullConfig)
    assert Precision.bf16 is trainer.precision
    # S1 to S3: mean log-probabilities against themselves; S4: weights of every fifth step.
    loss = StudyConfig(
        clip_low=0.2, clip_high=0.2, beta=1e-4, aggregation=Aggregation.sequence_mean
    )
    assert loss == config.loss
    assert NoCorrection() == config.correction
    assert (5, 4) == (rollout.sync_every, rollout.max_staleness)
    # S5: no label for the end of turn; S7: population standard deviation, at least 1e-6.
    assert not trainer.train_end_of_turn
    assert not trainer.bias_correction  # mlx.optimizers.AdamW as it comes
    assert ZScoreConfig(epsilon=1e-6) == config.advantage
    # S10 to S12: no floor, BLEU not smoothed, a plain sum.
    assert (64, None, 1.0) == (config.length.target, config.length.floor, config.length.weight)
    assert not config.reward.bleu_smooth
    both = asdict(load(composed("experiment=study/qwen_joint_meteor_rouge")).reward)
    assert [1.0, 1.0] == [value for key, value in both.items() if key.endswith("_weight")]
    # S13: AdamW; S14: the server's default; S15: no length in the prompt.
    assert (0.9, 0.99, 0.1) == (trainer.beta1, trainer.beta2, trainer.weight_decay)
    assert (1.0, 1.0) == (rollout.temperature, rollout.top_p)
    assert "PlainPrompt" == type(config.prompt).__name__
    assert (5, 0.5) == (config.judge.rounds, config.judge.threshold)  # type: ignore[attr-defined]


def test_the_sound_setting_is_the_default_on_the_study_s_posts_and_epoch(
    composed: Composed,
) -> None:
    default, study = load(composed()), load(composed("experiment=study"))

    config = load(composed("experiment=sound"))

    for name in ("loss", "correction", "advantage", "length", "prompt", "tuning", "checks"):
        assert getattr(default, name) == getattr(config, name), name
    assert isinstance(config.loss, GrpoConfig)
    assert (1, 1, 512) == (
        config.rollout.sync_every,
        config.rollout.max_staleness,
        config.rollout.max_tokens,
    )
    assert config.trainer.train_end_of_turn
    assert config.trainer.bias_correction
    assert config.reward.bleu_smooth
    assert config.trainer.precision is None
    assert shared(study) == shared(config)


def shared(config: Config) -> tuple[object, ...]:
    """What the two kinds of rows may not differ in, to be comparable."""
    trainer = config.trainer
    budget = (trainer.epochs, trainer.prompts_per_step, config.rollout.group_size)
    optimizer = (trainer.learning_rate, trainer.weight_decay, trainer.max_gradient_norm)
    return config.model, config.data, config.judge, config.length.target, budget, optimizer


def repo_of(model: str) -> HubModelConfig:
    return HubModelConfig(str(OmegaConf.load(EXPERIMENTS.parent / "model" / f"{model}.yaml").repo))


@pytest.fixture
def evaluation() -> Iterator[Callable[[str], Evaluation]]:
    register(EVALUATE)
    with initialize_config_dir(version_base="1.3", config_dir=str(EXPERIMENTS.parent)):
        yield lambda name: load_for(EVALUATE, compose("evaluate", [f"experiment={name}"]))


@BOTH
@pytest.mark.parametrize("row", published().zero_shot, ids=lambda row: f"{row.model}-{row.prompt}")
def test_an_untrained_row_is_a_greedy_evaluation_with_its_prompt(
    base: str, row: ZeroShot, evaluation: Callable[[str], Evaluation]
) -> None:
    """Of the model as it is, on the test split of the study's posts, by the study's judge."""
    short, model = MODELS[row.model]

    config = evaluation(f"{base}/zero_shot/{short}_{row.prompt}")

    schemas = EVALUATE.groups
    assert repo_of(model) == config.policy_config()
    assert schemas["prompt"].choices[row.prompt]() == config.prompt
    assert (Split.test, True, 512) == (
        config.split,
        config.decoding.greedy,
        config.decoding.max_tokens,
    )
    assert schemas["data"].choices["smoltldr"]() == config.data
    assert "gpt-5-mini" == config.judge.model  # type: ignore[attr-defined]
    assert (64, base == "sound") == (config.measure.target, config.measure.bleu_smooth)


@BOTH
def test_there_is_a_file_for_every_untrained_row_and_no_other(base: str) -> None:
    rows = {f"{MODELS[row.model][0]}_{row.prompt}" for row in published().zero_shot}
    assert 4 == len(rows)
    assert rows == {file.stem for file in (EXPERIMENTS / base / "zero_shot").glob("*.yaml")}
