"""Which runs are seeds of one configuration, what it is called, and what it is compared with."""

from dataclasses import replace
from pathlib import Path

import pytest

from tersely.analysis.configurations import Configuration, baselines, configurations
from tersely.analysis.runs import Run
from tersely.errors import ConfigError


def run(
    reward: str, strategy: str = "joint", seed: int = 0, overrides: str = "", **more: str
) -> Run:
    params = {"reward": reward, "strategy": strategy, "seed": str(seed), **more}
    name = f"{reward} {strategy} seed {seed}"
    tags = {"overrides": overrides, "name": name}
    return Run(Path(f"/{reward}-{strategy}-{seed}"), None, params, tags, {}, {}, (), {})


def names(every: list[Configuration]) -> list[str]:
    return [each.name for each in every]


def evaluated(seed: int, judge: str, overrides: str) -> Run:
    return replace(run("rouge", seed=seed, judge=judge, overrides=overrides), evaluation="test")


def compared(every: list[Configuration], named: str | None = None) -> dict[str, str | None]:
    return {name: other.name if other else None for name, other in baselines(every, named).items()}


def test_seeds_of_one_configuration_stand_together() -> None:
    """Whatever their order, and however the seed was given."""
    (one,) = configurations([run("rouge", seed=2, overrides="seed=2"), run("rouge", seed=0)])
    assert ("rouge joint", (0, 2)) == (one.name, one.seeds)


def test_rows_of_an_experiment_are_compared_by_what_they_choose() -> None:
    """`study/` and `sound/` stay apart; within one a row's own name is not one more difference."""
    every = names(every_of("study/joint_rouge", "study/staged_rouge", "sound/joint_rouge"))
    assert [
        "rouge joint · experiment=sound",
        "rouge joint · experiment=study",
        "rouge staged · experiment=study",
    ] == every
    assert ["rouge joint", "rouge staged"] == names(
        every_of("study/joint_rouge", "study/staged_rouge")
    )


def every_of(*rows: str) -> list[Configuration]:
    return configurations(
        [
            run("rouge", "staged" if "staged" in row else "joint", overrides=f"experiment={row}")
            for row in rows
        ]
    )


def test_the_later_run_of_a_seed_stands() -> None:
    """A repetition says nothing about seeds."""
    first, second = run("rouge", overrides="seed=0"), run("rouge")
    (one,) = configurations([first, second])
    assert (second,) == one.runs


def test_names_have_what_differs() -> None:
    """The model in front; a parameter and an override that no parameter shows behind."""
    made = configurations(
        [
            run("rouge", model="a", overrides="loss.clip_low=0.1 tracking.folder=x"),
            run("rouge", model="a", overrides="loss.clip_low=0.3 tracking.folder=y"),
            run("rouge", model="b", learning_rate="0.1", overrides="trainer.learning_rate=0.1"),
        ]
    )
    assert [
        "a · rouge joint · loss.clip_low=0.1",
        "a · rouge joint · loss.clip_low=0.3",
        "b · rouge joint · learning_rate=0.1",
    ] == names(made)


def test_the_baseline_is_length_only_of_the_same_model_and_strategy() -> None:
    """It is compared with nothing itself."""
    made = configurations(
        [run(r, s, model=m) for r in ("length", "rouge") for s in ("joint", "staged") for m in "ab"]
    )
    assert {
        "a · rouge joint": "a · length joint",
        "a · rouge staged": "a · length staged",
        "b · rouge joint": "b · length joint",
        "b · rouge staged": "b · length staged",
    } == compared(made)


def test_one_length_only_serves_both_strategies() -> None:
    """As in the study."""
    made = configurations([run("length"), run("rouge"), run("rouge", "staged")])
    assert {"rouge joint": "length joint", "rouge staged": "length joint"} == compared(made)


def test_without_length_only_it_is_the_policy_before_training() -> None:
    """Also where there is nothing but length-only."""
    assert {"bleu joint": None, "rouge joint": None} == compared(
        configurations([run("rouge"), run("bleu")])
    )
    assert {"length joint": None} == compared(configurations([run("length")]))


@pytest.mark.parametrize("named", ["bleu joint", "bleu joint seed 1", "bleu-joint-1"])
def test_a_baseline_can_be_named(named: str) -> None:
    """By configuration, by one of its runs, by that run's folder."""
    made = configurations([run("rouge"), run("length"), run("bleu"), run("bleu", seed=1)])
    assert {"length joint": "bleu joint", "rouge joint": "bleu joint"} == compared(made, named)


def test_a_baseline_that_is_not_there_is_refused_with_those_that_are() -> None:
    """Before anything is computed."""
    made = configurations([run("rouge"), run("bleu")])
    with pytest.raises(ConfigError, match=r"names no configuration .* 'bleu joint'; 'rouge joint'"):
        baselines(made, "meteor")


def test_a_model_without_length_only_is_compared_with_nothing() -> None:
    """A difference from before training is no member of a family of differences from another
    training."""
    runs = [run(reward, model="a") for reward in ("length", "bleu")]
    made = configurations([*runs, run("rouge", model="b")])
    assert {"a · bleu joint": "a · length joint"} == compared(made)


@pytest.mark.parametrize("key", ["prompt.max_tokens", "judge.temperature", "data.seed"])
def test_another_group_s_value_is_no_parameter(key: str) -> None:
    """`max_tokens` and `temperature` are the rollouts', `seed` the run's."""
    known = {"max_tokens": "128", "temperature": "1.0"}
    made = configurations([run("rouge", overrides=f"{key}={v}", **known) for v in "12"])
    assert [f"rouge joint · {key}=1", f"rouge joint · {key}=2"] == names(made)


def test_a_parameter_under_its_own_key_is_said_once() -> None:
    """Whether it was given or left at what it is, it is one configuration."""
    given = run("rouge", seed=1, overrides="rollout.max_tokens=128 reward=rouge", max_tokens="128")
    (one,) = configurations([given, run("rouge", max_tokens="128")])
    assert (0, 1) == one.seeds


def test_the_judge_of_the_training_does_not_part_seeds_that_an_evaluation_judged() -> None:
    """Without an evaluation it does."""
    runs = [evaluated(0, "facts", ""), evaluated(1, "none", "judge=none judge.rounds=2")]
    (one,) = configurations(runs)
    assert (0, 1) == one.seeds
    assert 2 == len(configurations([replace(each, evaluation=None) for each in runs]))
