"""What is said of options that there are not."""

import pytest

from tersely.config import TRAIN
from tersely.errors import ConfigError
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
