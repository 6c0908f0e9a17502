"""Every file in conf/ is a choice that composes, loads and builds."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

import pytest
from conf.needed import NEEDED
from hydra import compose
from omegaconf import DictConfig, OmegaConf

from tersely.config import GROUPS, Config, load, resolved_yaml
from tersely.errors import CorpusMissing
from tersely.records import Example, Group, Prompt, Rollout
from tersely.rewards.mixture import Mixture
from tersely.tracking.folder_run import FolderRun

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
CHOICES = [(path.parts[0], path.stem) for path in FILES if path.parts[0] in GROUPS]
EXPERIMENTS = [
    path.relative_to("experiment").with_suffix("").as_posix()
    for path in FILES
    if path.parts[0] == "experiment"
]
Composed = Callable[..., DictConfig]


def test_conf_and_code_know_the_same_choices() -> None:
    """In both directions; what is in no group is a preset or belongs to Hydra."""
    assert {(name, choice) for name, group in GROUPS.items() for choice in group.choices} == set(
        CHOICES
    )
    others = {path.parts[0] for path in FILES if len(path.parts) > 1} - set(GROUPS)
    assert {"experiment", "hydra"} == others


def test_the_default_of_a_group_is_its_first_choice() -> None:
    """Readers of `--help` take the first for it."""
    defaults: dict[str, str] = {}
    for entry in OmegaConf.load(CONF / "config.yaml").defaults:
        if isinstance(entry, DictConfig):
            defaults |= dict(entry)
    for name, group in GROUPS.items():
        assert next(iter(group.choices)) == defaults[name], name


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_a_choice_composes_and_loads(group: str, choice: str, composed: Composed) -> None:
    """To the class that stands for it, with the values of its file."""
    given = NEEDED.get((group, choice), ())

    config = load(composed(f"{group}={choice}", *given))

    assert isinstance(config, Config)
    assert GROUPS[group].choices[choice] is type(getattr(config, group))
    values = dict(OmegaConf.load(CONF / group / f"{choice}.yaml"))
    assert [f"/schema/{group}/{choice}@_here_"] == values.pop("defaults")
    assert values == {key: getattr(getattr(config, group), str(key)) for key in values}


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if "/" not in name])
def test_an_experiment_composes_and_loads(experiment: str, composed: Composed) -> None:
    """And differs from the default run; for rows of tables see test_study_rows."""
    default, config = load(composed()), load(composed(f"experiment={experiment}"))
    assert asdict(default) != asdict(config)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_is_short_and_begins_with_its_hypothesis(experiment: str) -> None:
    """A row says in a few lines where it differs; what rows have in common stands elsewhere."""
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert "# @package _global_" == lines[0]
    first = lines[1] if "/" in experiment else next(x for x in lines if "Hypothesis: " in x)
    assert len(first.removeprefix("# ").split()) > 5
    most = 8 if "/" in experiment else 16
    assert len([line for line in lines if not line.startswith("#")]) <= most


@pytest.mark.parametrize("choice", GROUPS["reward"].choices)
@pytest.mark.parametrize("strategy", GROUPS["strategy"].choices)
def test_rewards_and_strategies_build_mixtures(
    strategy: str, choice: str, composed: Composed
) -> None:
    """Each stage has the terms that it says it rewards, and scores a group with them."""
    config = load(composed(f"reward={choice}", f"strategy={strategy}"))
    if (strategy, choice) == ("staged", "length"):
        return  # refused, see test_load_config
    try:
        quality = config.reward.quality()
    except CorpusMissing:
        pytest.skip("METEOR needs WordNet, which is not on this machine")
    assert (choice == "length") == (not quality)
    group = Group(
        Prompt(Example("id", "post", ("my dog ran off",)), (1, 2)),
        tuple(Rollout((1,) * 65, (-1.0,) * 65, "stop", 0, "my dog ran away") for _ in range(2)),
    )

    for stage in config.strategy.stages(has_quality=bool(quality)):
        terms = (
            *((config.length.build(),) if stage.length else ()),
            *(quality if stage.quality else ()),
        )
        scores = Mixture(terms).score(group)
        assert 2 == len(scores.reward)
        assert ("length" in scores.terms) == stage.length
        assert (len(scores.terms) > stage.length) == stage.quality


def test_the_other_parts_build(composed: Composed, tmp_path: Path) -> None:
    """What needs no checkpoint and no corpus; the rest is built by tests of its own."""
    config = load(composed("tracking=none", "data.train=3", "data.validation=2", "data.test=2"))

    assert [-1.0, 1.0] == pytest.approx(config.advantage.build()([0.0, 1.0]))
    assert callable(config.loss.build())
    assert (3, 2, 2) == tuple(
        len(getattr(config.data.build(), name)) for name in ("train", "validation", "test")
    )
    assert isinstance(config.tracking.build(tmp_path / "run", "name"), FolderRun)


def test_the_tree_is_two_deep(composed: Composed) -> None:
    """`loss.clip_low`, never deeper: a knob is typed in one go."""
    for value in OmegaConf.to_container(composed()).values():  # type: ignore[union-attr]
        if isinstance(value, dict):
            assert not any(isinstance(inner, dict) for inner in value.values())


def test_every_field_of_every_choice_is_documented() -> None:
    """A docstring stands under each, in the class that adds it."""
    schemas = {kind for group in GROUPS.values() for each in group.choices.values()
               for kind in each.__mro__ if is_dataclass(kind)}  # fmt: skip
    for schema in schemas:
        (tree,) = ast.parse(inspect.getsource(schema)).body
        assert isinstance(tree, ast.ClassDef)
        inherited = {field.name for parent in schema.__bases__ if is_dataclass(parent)
                     for field in fields(parent)}  # fmt: skip
        for statement, after in zip(tree.body, [*tree.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and statement.target.id not in inherited:
                assert isinstance(after, ast.Expr), f"{schema.__name__}.{statement.target.id}"


def test_the_resolved_text_gives_the_run_back(composed: Composed) -> None:
    """What a run keeps of its configuration is all of it."""
    tree = composed("length.target=48", "trainer.steps=${length.target}")
    kept = OmegaConf.create(resolved_yaml(tree))

    assert 48 == kept.trainer.steps
    assert load(tree) == load(OmegaConf.merge(composed(), kept))  # type: ignore[arg-type]


def test_hydra_s_own_part_composes(composed: Composed) -> None:
    """Logging, folders and callbacks, whose files lie in conf/hydra."""
    tree = compose("config", return_hydra_config=True, overrides=["hydra.runtime.output_dir=out"])
    assert "%(message)s" == tree.hydra.hydra_logging.formatters.short.format
    assert "file" in tree.hydra.job_logging.handlers
    assert "tersely.sweep.callback.SweepCallback" == tree.hydra.callbacks.sweep._target_
