"""What is said of options that there are not."""

import pytest

from tersely.config import TRAIN
from tersely.errors import ConfigError
from tersely.evaluation_config import EVALUATE
from tersely.key_hints import refuse_unknown_options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "4", "seed=1"], "--steps is no option.* here trainer.steps=4. See `python"),
        (["seed=1", "--steps=4"], "here trainer.steps=4. See"),
        (["--learning-rate", "1e-3"], "--learning-rate is .* here trainer.learning_rate=1e-3. See"),
        (["--trainer.steps=4"], "here trainer.steps=4. See"),
        (["-m", "--reward", "rouge"], "here reward=rouge. See"),
        (["--steps", "seed=1"], "here trainer.steps=VALUE. See"),
        (["--steps", "-m"], "here trainer.steps=VALUE. See"),
        (["--steps"], "here trainer.steps=VALUE. See"),
        (["--weight", "2"], "here length.weight=2. See"),
        (["--frobnicate"], "KEY=VALUE. See"),
    ],
)
def test_an_unknown_option_is_refused_with_the_key_that_was_probably_meant(
    arguments: list[str], said: str
) -> None:
    """Its value is what follows it, unless that is something else."""
    with pytest.raises(ConfigError, match=said):
        refuse_unknown_options(arguments, TRAIN)


@pytest.mark.parametrize("arguments", [["--run", "night"], ["--run=night"]])
def test_a_key_that_is_a_flag_of_hydra_is_found_too(arguments: list[str]) -> None:
    """Where there is such a key; `--run` by itself is Hydra's."""
    with pytest.raises(ConfigError, match=r"--run is no option.* here run=night. See `python"):
        refuse_unknown_options(arguments, EVALUATE)
    refuse_unknown_options(["--run", "run=night"], EVALUATE)
    refuse_unknown_options(["--run"], EVALUATE)


@pytest.mark.parametrize(
    "arguments",
    [["seed=1", "-m", "reward=rouge"], ["-m", "seed=1", "--cfg", "job", "reward=rouge"]],
)
def test_words_on_both_sides_of_an_option_are_refused_as_that(arguments: list[str]) -> None:
    """Hydra takes them on one side only."""
    with pytest.raises(
        ConfigError, match=r"^reward=rouge stands behind an option .* options first"
    ):
        refuse_unknown_options(arguments, TRAIN)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["seed=1", "reward=rouge"],
        ["-m", "seed=1,2"],
        ["--multirun", "seed=1,2"],
        ["--cfg", "job", "--resolve"],
        ["--info", "searchpath"],
        ["--hydra-help"],
        ["hydra.run.dir=--odd"],
    ],
)
def test_options_of_hydra_pass(arguments: list[str]) -> None:
    refuse_unknown_options(arguments, TRAIN)
