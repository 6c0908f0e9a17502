"""The configuration of `evaluate`, with what an evaluation takes over from the run it joins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tersely.called import called
from tersely.config import GROUPS, App
from tersely.data.prompts import PromptConfig
from tersely.data.splits import DataConfig
from tersely.errors import ConfigError
from tersely.evaluation.decoding import DecodingConfig, MeasureConfig
from tersely.evaluation.judges.config import JudgeConfig
from tersely.paths import typed_path
from tersely.policy.load import LocalModelConfig, ModelConfig
from tersely.tracking.config import TrackingConfig
from tersely.tracking.folder_run import checked


class Split(Enum):
    """A part of the data."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass
class Evaluation:
    """One policy, asked for the summaries of one split, and what they score."""

    run: str | None = None
    """A run that has finished, by its MLflow id or its folder: its checkpoint is evaluated on its
    own data with its own prompt, and the results join it."""
    checkpoint: str | None = None
    """A folder in the Hub's layout; the same as model=local model.path=FOLDER."""
    split: Split = Split.test
    """The part of the data whose posts are summarised."""
    name: str | None = None
    """What the results are kept under, `eval/<name>/...`, in place of what was there. None: split
    and prompt, before them other data than the run's, after them the temperature of sampling."""
    seed: int = 0
    """Sampled summaries follow from it; greedy ones have no chance in them."""
    model: ModelConfig | None = None
    data: DataConfig = MISSING
    prompt: PromptConfig = MISSING
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    judge: JudgeConfig = MISSING
    tracking: TrackingConfig = MISSING

    def __post_init__(self) -> None:
        given = {"run": self.run, "checkpoint": self.checkpoint, "model": self.model}
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            said = "none of them is given" if not named else f"{' and '.join(named)} are given"
            raise ConfigError(
                "what is evaluated is one of run=ID_OR_FOLDER, checkpoint=FOLDER and "
                f"model=CHOICE, and {said}; see `{called('evaluate')} --help`"
            )
        self._check_name()
        self._check_checkpoint()

    def _check_checkpoint(self) -> None:
        if self.checkpoint is None:
            return
        config = typed_path(self.checkpoint, "checkpoint") / "config.json"
        if not config.is_file():
            raise ConfigError(
                f"checkpoint={self.checkpoint} is not a checkpoint: there is no {config}; give a "
                "folder in the Hub's layout, as a run leaves it in checkpoints/final"
            )

    def _check_name(self) -> None:
        if self.name is None:
            return
        try:
            checked(self.name)
        except ValueError as error:
            raise ConfigError(
                f"name={self.name!r} cannot be a part of a metric's name and of a path; use "
                "letters, digits and _ - . / within, as in name=test/my_prompt"
            ) from error

    def policy_config(self) -> ModelConfig:
        """Where the policy comes from, if not from a run."""
        if self.checkpoint is not None:
            return LocalModelConfig(self.checkpoint)
        assert self.model is not None
        return self.model


HELP = """How good are the summaries of a run, of a checkpoint, or of a model as it is?

Usage: {me} run=ID_OR_FOLDER [...]    a run, as MLflow or its folder knows it
       {me} checkpoint=FOLDER [...]   a checkpoint in the Hub's layout
       {me} model=CHOICE [...]        a model as it is (zero-shot)

Results join the run that was named; otherwise they make a run of their own.
A run is evaluated on its own data with its own prompt, unless these are given.

Groups:
{groups}
  experiment a zero-shot row of the study, study/zero_shot/qwen_fifty_words and others

  split=test|validation|train   decoding.temperature=1 decoding.samples=3 seed=0 (0: greedy)

`{me} --cfg job` shows the whole evaluation. Files are in {conf}/.
A comparison of zero-shot prompts:
  {me} -m model=qwen2_5_0_5b prompt=plain,fifty_words,sixty_four_tokens
The study's:
  {me} -m 'experiment=glob(study/zero_shot/*)'
"""

EVALUATE = App(
    "evaluate",
    "evaluation_schema",
    Evaluation,
    {
        "model": GROUPS["model"]._replace(meaning="the policy, as it is"),
        **{name: GROUPS[name] for name in ("data", "prompt", "judge", "tracking")},
    },
    HELP,
)

TAKEN_OVER = {
    "decoding.max_tokens": "rollout.max_tokens",
    "measure.target": "length.target",
    "measure.meteor_matching": "reward.meteor_matching",
    "measure.bleu_smooth": "reward.bleu_smooth",
}
"""Single values of an evaluation, and where a run has them."""


def with_values_of(
    run_config: str, choices: Mapping[str, str], tree: DictConfig, overrides: Sequence[str]
) -> DictConfig:
    """`tree` with the data, the prompt and the measures of a run, where `overrides` name no other.

    `run_config` is the run's YAML and `choices` its choices. A group that is chosen anew
    (`data=jsonl`) is taken whole from `tree`; one of which a value is set (`data.test=50`) is the
    run's, with that value.
    """
    given = chosen_anew(overrides)
    own, result = OmegaConf.create(run_config), tree.copy()
    try:
        for group in ("data", "prompt"):
            if group not in given:
                schema = OmegaConf.structured(EVALUATE.groups[group].choices[choices[group]])
                result[group] = OmegaConf.merge(schema, OmegaConf.select(own, group))
                for key in given:
                    if key.startswith(f"{group}."):
                        OmegaConf.update(result, key, OmegaConf.select(tree, key))
        for key, place in TAKEN_OVER.items():
            value = OmegaConf.select(own, place)
            if key not in given and value is not None:
                OmegaConf.update(result, key, value)
    except (OmegaConfBaseException, KeyError) as error:
        raise ConfigError(
            f"the run's own configuration does not fit this evaluation ({_first_line(error)}); "
            "choose data and prompt anew, with data=CHOICE and prompt=CHOICE"
        ) from error
    return result


def chosen_anew(overrides: Sequence[str]) -> set[str]:
    """The groups and the keys that a command line names."""
    return {override.lstrip("+~").partition("=")[0] for override in overrides}


def evaluation_name(config: Evaluation, choices: Mapping[str, str], own_data: str) -> str:
    """What the results are kept under: `test/plain`, and what else is not the run's own setting.

    `choices` are those of this evaluation, `own_data` is what stays unsaid: the run's data.
    """
    if config.name is not None:
        return config.name
    parts = [config.split.name, choices["prompt"]]
    if choices["data"] != own_data:
        parts.insert(0, choices["data"])
    if not config.decoding.greedy:
        parts.append(f"temperature_{config.decoding.temperature:g}")
    return "/".join(parts)


def policy_name(config: Evaluation, choices: Mapping[str, str]) -> str:
    """What a policy is called in lists, where it belongs to no run."""
    return choices["model"] if config.checkpoint is None else Path(config.checkpoint).name


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
