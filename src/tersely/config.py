"""The configuration: which groups there are, which choices each has, and the strict `load()`.

Values live in `conf/`, types and defaults in the dataclass of each choice. With the commands of
`apps/` this is the only place that knows Hydra and OmegaConf.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from textwrap import fill
from typing import Any, Generic, NamedTuple, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from tersely.called import called
from tersely.data.generated import GeneratedConfig
from tersely.data.jsonl import JsonlConfig
from tersely.data.prompts import (
    FiftyWordsPrompt,
    PlainPrompt,
    PromptConfig,
    SixtyFourTokensPrompt,
)
from tersely.data.smoltldr import SmolTldrConfig
from tersely.data.splits import DataConfig
from tersely.errors import ConfigError
from tersely.evaluation.judges.config import (
    FactsConfig,
    GevalConfig,
    JudgeConfig,
    NoJudge,
    PanelConfig,
)
from tersely.objective.advantages import AdvantageConfig, ZScoreConfig
from tersely.objective.config import GrpoConfig, LossConfig, StudyConfig
from tersely.objective.correction_config import (
    CorrectionConfig,
    MisConfig,
    NoCorrection,
    TisConfig,
)
from tersely.paths import from_here
from tersely.policy.load import HubModelConfig, LocalModelConfig, ModelConfig, TinyModelConfig
from tersely.policy.tuning import FullConfig, LoraConfig, TuningConfig
from tersely.rewards.bleu import BleuConfig
from tersely.rewards.combined import BleuRougeConfig, MeteorBleuConfig, MeteorRougeConfig
from tersely.rewards.length import LengthConfig
from tersely.rewards.meteor import MeteorConfig
from tersely.rewards.quality import RewardConfig
from tersely.rewards.rouge import RougeConfig
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import RolloutConfig
from tersely.rollout.vllm.config import VllmConfig, VllmLocalConfig
from tersely.sweep.names import job_slug, sweep_name
from tersely.tracking.config import MlflowTracking, NoTracking, TrackingConfig
from tersely.training.checks_config import ChecksConfig
from tersely.training.config import TrainerConfig
from tersely.training.stages import JointConfig, StagedConfig, StrategyConfig

PACKAGE = Path(__file__).resolve().parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parents[1] / "conf"
"""The folder of values: an installed package has it inside, a checkout at its root."""


class Group(NamedTuple):
    """One Hydra config group."""

    meaning: str
    choices: dict[str, type]


GROUPS = {
    "model": Group(
        "the policy that is trained",
        {
            "tiny": TinyModelConfig,
            "qwen2_5_0_5b": HubModelConfig,
            "lfm2_5_350m": HubModelConfig,
            "local": LocalModelConfig,
        },
    ),
    "tuning": Group("which weights are trained", {"full": FullConfig, "lora": LoraConfig}),
    "data": Group(
        "posts and reference summaries",
        {"generated": GeneratedConfig, "jsonl": JsonlConfig, "smoltldr": SmolTldrConfig},
    ),
    "prompt": Group(
        "how the policy is asked for a summary",
        {
            "plain": PlainPrompt,
            "fifty_words": FiftyWordsPrompt,
            "sixty_four_tokens": SixtyFourTokensPrompt,
        },
    ),
    "strategy": Group(
        "length and quality together, or one after the other",
        {"joint": JointConfig, "staged": StagedConfig},
    ),
    "reward": Group(
        "what is rewarded beside length",
        {
            "rouge": RougeConfig,
            "meteor": MeteorConfig,
            "bleu": BleuConfig,
            "meteor_rouge": MeteorRougeConfig,
            "meteor_bleu": MeteorBleuConfig,
            "bleu_rouge": BleuRougeConfig,
            "length": RewardConfig,
        },
    ),
    "length": Group("the length term of the reward", {"absolute": LengthConfig}),
    "advantage": Group("how rewards of a group are compared", {"zscore": ZScoreConfig}),
    "loss": Group("what an update makes smaller", {"grpo": GrpoConfig, "study": StudyConfig}),
    "correction": Group(
        "what is done about rollouts of older weights",
        {"none": NoCorrection, "tis": TisConfig, "mis": MisConfig},
    ),
    "rollout": Group(
        "who samples completions, and how",
        {"local": LocalConfig, "vllm": VllmConfig, "vllm_local": VllmLocalConfig},
    ),
    "trainer": Group(
        "steps, batch and optimizer", {"default": TrainerConfig, "study": TrainerConfig}
    ),
    "judge": Group(
        "who judges the summaries",
        {
            "facts": FactsConfig,
            "geval": GevalConfig,
            "geval_openai": GevalConfig,
            "geval_local": GevalConfig,
            "panel": PanelConfig,
            "none": NoJudge,
        },
    ),
    "tracking": Group("where runs are kept", {"mlflow": MlflowTracking, "none": NoTracking}),
}


@dataclass
class Config:
    """A run."""

    seed: int = 0
    """Everything random in a run follows from this number."""
    model: ModelConfig = MISSING
    tuning: TuningConfig = MISSING
    data: DataConfig = MISSING
    prompt: PromptConfig = MISSING
    strategy: StrategyConfig = MISSING
    reward: RewardConfig = MISSING
    length: LengthConfig = MISSING
    advantage: AdvantageConfig = MISSING
    loss: LossConfig = MISSING
    correction: CorrectionConfig = MISSING
    rollout: RolloutConfig = MISSING
    trainer: TrainerConfig = MISSING
    judge: JudgeConfig = MISSING
    tracking: TrackingConfig = MISSING
    checks: ChecksConfig = field(default_factory=ChecksConfig)


Root = TypeVar("Root")


@dataclass(frozen=True)
class App(Generic[Root]):
    """One command: what it is composed of, and what it says of itself."""

    name: str
    """train, evaluate or report."""
    schema: str
    """What the root of its tree is registered as."""
    root: type[Root]
    groups: Mapping[str, Group]
    usage: str
    """What `--help` prints, with {groups} where they are listed, {me} for the command as it is
    typed and {conf} for the folder of its files."""

    def called(self) -> str:
        """As one types it."""
        return called(self.name)

    def help_text(self) -> str:
        lines = (f"  {n:<10} {g.meaning}: {' '.join(g.choices)}" for n, g in self.groups.items())
        groups = "\n".join(fill(line, 100, subsequent_indent=" " * 13) for line in lines)
        return self.usage.format(groups=groups, me=self.called(), conf=from_here(CONF))


HELP = """Which reward signal makes a tiny language model write the best short summary?

Usage: {me} [GROUP=CHOICE ...] [KEY=VALUE ...]
       {me} -m reward=rouge,meteor,bleu strategy=joint,staged   (a sweep)
       {me} -m 'experiment=glob(study/*)'                       (the study)

Groups:
{groups}
  experiment a preset of several of these: study sound
             or a row of their tables, from conf/experiment/: study/qwen_joint_rouge

Any value can be set, for example: seed=1 trainer.steps=20 length.target=48
`{me} --cfg job` shows the whole run without starting it.
`{me} --dry-run -m ...` plans a run or a sweep: its jobs, and what they will take.
Files are in {conf}/.
"""


TRAIN = App("train", "schema", Config, GROUPS, HELP)


def register(app: App[Any] = TRAIN) -> None:
    """Tell Hydra the schemas and the resolvers; once, before composing."""
    store = ConfigStore.instance()
    store.store(name=app.schema, node=app.root)
    for name, group in app.groups.items():
        for choice, schema in group.choices.items():
            store.store(group=f"schema/{name}", name=choice, node=schema)
    OmegaConf.register_new_resolver("job_slug", job_slug, replace=True)
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True, use_cache=True)


def load(tree: DictConfig) -> Config:
    """A run's tree as typed objects; see `load_for`."""
    return load_for(TRAIN, tree)


def load_for(app: App[Root], tree: DictConfig) -> Root:
    """The composed tree of a command as typed objects.

    Raises `ConfigError` for a value that has to be given and is not, for a value that a
    dataclass refuses, and for a key that no dataclass has: OmegaConf alone would drop it.
    """
    try:
        config: Any = OmegaConf.to_object(tree)
    except MissingMandatoryValue as error:
        key = _first_line(error).rpartition(" ")[2]
        raise ConfigError(
            f"{key} has to be given, and this run has none; see `{app.called()} --help`"
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    given = OmegaConf.to_container(tree, resolve=True, enum_to_str=True)
    dropped = sorted(_keys(given) - _keys(_plain(asdict(config))))
    if dropped:
        raise ConfigError(
            f"nothing reads {', '.join(dropped)}: no such key exists in the choices of this run; "
            f"see `{app.called()} --cfg job` for those that do"
        )
    assert isinstance(config, app.root)
    return config


def resolved_yaml(tree: DictConfig) -> str:
    """The run's configuration as YAML, with every reference filled in."""
    return OmegaConf.to_yaml(tree, resolve=True, sort_keys=False)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _keys(tree: Any, prefix: str = "") -> set[str]:
    if not isinstance(tree, dict):
        return {prefix.rstrip(".")}
    return set().union(*(_keys(value, f"{prefix}{key}.") for key, value in tree.items()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.name if isinstance(value, Enum) else value
