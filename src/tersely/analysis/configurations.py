"""Runs that differ in nothing but their seed, and what to call them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tersely.analysis.runs import Run
from tersely.errors import ConfigError

NOT_DECIDING = ("seed", "tracking", "hydra")
"""Overrides that change nothing about what is compared."""
PARAMETER_OF = {
    "length.target": "target",
    "measure.target": "target",
    "rollout.group_size": "group_size",
    "rollout.max_tokens": "max_tokens",
    "rollout.temperature": "temperature",
    "decoding.max_tokens": "max_tokens",
    "decoding.temperature": "temperature",
    "decoding.samples": "samples",
    "trainer.prompts_per_step": "prompts_per_step",
    "trainer.learning_rate": "learning_rate",
    "trainer.steps": "duration",
    "trainer.epochs": "duration",
    "loss.beta": "beta",
}
"""Overrides whose value a parameter of the run shows by another name."""
ALWAYS_NAMED = ("reward", "strategy")
LENGTH_ONLY = "length"
"""The reward that the study compares with."""


@dataclass(frozen=True)
class Configuration:
    """Runs of one configuration."""

    name: str
    """Short, and no other configuration of the report has it."""
    identity: Mapping[str, str]
    """Parameters and overrides, without the seed."""
    runs: tuple[Run, ...]
    """One a seed, by seed."""

    @property
    def model(self) -> str:
        return self.identity.get("model", "")

    @property
    def strategy(self) -> str:
        return self.identity.get("strategy", "")

    @property
    def reward(self) -> str:
        return self.identity.get("reward", "")

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def trained(self) -> bool:
        """False where its seeds are those of an evaluation's sampling, not of training runs."""
        return all(run.trained for run in self.runs)

    @property
    def target(self) -> int:
        """Tokens."""
        return self.runs[0].target


def configurations(runs: Sequence[Run]) -> list[Configuration]:
    """In the order of their names; the later one of two runs with the same seed stands."""
    groups: dict[tuple[tuple[str, str], ...], dict[int, Run]] = {}
    for run in runs:
        groups.setdefault(tuple(sorted(identity(run).items())), {})[run.seed] = run
    identities = [dict(key) for key in groups]
    names = _names(identities)
    made = [
        Configuration(name, known, tuple(of_seed[seed] for seed in sorted(of_seed)))
        for name, known, of_seed in zip(names, identities, groups.values(), strict=True)
    ]
    return sorted(made, key=lambda each: (each.model, each.name))


def identity(run: Run) -> dict[str, str]:
    """What decides what a run is: its parameters, and overrides that no parameter shows.

    The judge of the run's end says nothing of summaries that an evaluation has judged.
    """
    leave_out = {*NOT_DECIDING, *(() if run.evaluation is None else ("judge",))}
    params = {key: value for key, value in run.params.items() if key not in leave_out}
    pairs = (word.lstrip("+~").partition("=") for word in run.tags.get("overrides", "").split())
    more = {
        # Rows of one folder are compared by what they choose, not by what they are called.
        key: value.partition("/")[0] if key == "experiment" else value
        for key, _, value in pairs
        if key.partition(".")[0] not in leave_out and PARAMETER_OF.get(key, key) not in run.params
    }
    return {**more, **params}


def _names(identities: Sequence[Mapping[str, str]]) -> list[str]:
    """The model if there are several, reward and strategy, and whatever else differs."""
    keys = sorted({key for each in identities for key in each})
    differ = [key for key in keys if len({each.get(key) for each in identities}) > 1]
    rest = [key for key in differ if key not in (*ALWAYS_NAMED, "model")]
    names = []
    for each in identities:
        parts = [each["model"]] if "model" in differ and "model" in each else []
        parts.append(" ".join(each[key] for key in ALWAYS_NAMED if key in each) or "evaluation")
        parts += [f"{key}={each[key]}" for key in rest if key in each]
        names.append(" · ".join(parts))
    return names


def baselines(every: Sequence[Configuration], named: str | None) -> dict[str, Configuration | None]:
    """By a configuration's name, the one that it is compared with; its own name is not in it.

    None: with its own summaries before training. Without a named one that is length-only of the
    same model, the one that has most else in common, and a model without one is compared with
    nothing. Where there is no length-only or nothing else, None.
    Raises ConfigError for a name that fits none or several.
    """
    if named is not None:
        chosen = _named(every, named)
        return {each.name: chosen for each in every if each is not chosen}
    length_only = [each for each in every if each.reward == LENGTH_ONLY]
    if len(length_only) in (0, len(every)):
        return {each.name: None for each in every}
    found = {each.name: _closest(each, length_only) for each in every}
    return {
        name: baseline
        for name, baseline in found.items()
        if baseline is not None and baseline.name != name
    }


def _closest(each: Configuration, candidates: Sequence[Configuration]) -> Configuration | None:
    same_model = [other for other in candidates if other.model == each.model]
    if not same_model:
        return None
    return max(same_model, key=lambda other: len(other.identity.items() & each.identity.items()))


def _named(every: Sequence[Configuration], named: str) -> Configuration:
    fits = [each for each in every if named == each.name] or [
        each
        for each in every
        if any(
            named in (run.run_id, run.name, run.folder.name, str(run.folder)) for run in each.runs
        )
    ]
    if len(fits) != 1:
        how = "no configuration" if not fits else f"{len(fits)} configurations"
        names = "; ".join(f"'{each.name}'" for each in every)
        raise ConfigError(f"baseline={named} names {how} of this report; it has {names}")
    return fits[0]
