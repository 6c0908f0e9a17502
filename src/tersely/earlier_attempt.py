"""What an earlier attempt left in a run's folder: whether it is the same run, and how far it got.

A folder belongs to the configuration that was run in it first. With the same one a run goes on;
with another one it is refused, before anything of it is overwritten.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tersely.deciding import BUDGET, decides
from tersely.errors import ConfigError, DataError, ModelError, TrackingError
from tersely.sweep.result import JobResult, read_result
from tersely.tracking.facts import RunFacts
from tersely.whole_file import read_kept, write_json, write_whole

log = logging.getLogger(__name__)

CONFIG = "config.yaml"
CHOICES = "choices.json"
"""Config group to choice: two choices may have the same keys and values."""
STATE = ("checkpoints/*", "test_before.json")
"""What a run goes on from, whoever left it."""
RESULTS = (*STATE, "metrics.jsonl", "tables/**/*.jsonl")
"""What would mix with another run's; an empty file is none."""
SHOWN = 6
"""Differences that a message shows."""

Values = Mapping[str, Any]
"""Key (`trainer.steps`) to value; a group's own name to its choice."""


@dataclass(frozen=True)
class EarlierAttempt:
    """What is known of it."""

    folder: Path
    there: bool
    """Whether there was one."""
    result: JobResult | None = None
    """Of a run that has FINISHED, with nothing left to do."""
    code_version: str | None = None
    mlx: str | None = None
    """The version of MLX."""
    data_fingerprint: str | None = None
    model_fingerprint: str | None = None

    def warn_of_other_code(self, facts: RunFacts) -> None:
        """Say where the earlier attempt had another version of the code or of MLX."""
        if self.there:
            log.info("going on with the run in %s", self.folder)
        for name, then, now in (
            ("the code", self.code_version, facts.code_version),
            ("mlx", self.mlx, facts.packages.get("mlx")),
        ):
            if then is not None and then != now:
                log.warning(
                    "%s was %s in the earlier attempt and is %s now: what follows need not be "
                    "what that would have come to",
                    name,
                    then,
                    now,
                )

    def check_data(self, fingerprint: str) -> None:
        """Raises DataError where the data are not those that the run began with."""
        if self.data_fingerprint not in (None, fingerprint):
            raise DataError(
                f"the data have the fingerprint {fingerprint}, and had {self.data_fingerprint} "
                f"when the run in {self.folder} began; a run that went on would have learned "
                "from both. Bring the data back, set hydra.run.dir=FOLDER (of a sweep "
                "hydra.sweep.dir=FOLDER) to another place, or delete the folder"
            )

    def check_model(self, fingerprint: str) -> None:
        """Raises ModelError where the checkpoint is not the one that the run began with: a link
        may have moved, a repository may have changed."""
        if self.model_fingerprint not in (None, fingerprint):
            raise ModelError(
                f"the model's checkpoint has the fingerprint {fingerprint}, and had "
                f"{self.model_fingerprint} when the run in {self.folder} began; a run that went "
                "on would be compared with another model than it came from. Bring the checkpoint "
                "back (model.path may be a link that has moved), set hydra.run.dir=FOLDER (of a "
                "sweep hydra.sweep.dir=FOLDER) to another place, or delete the folder"
            )


def take_folder(folder: Path, yaml: str, choices: Mapping[str, str]) -> EarlierAttempt:
    """Have `folder` for the run of this configuration (`yaml`, resolved) and these choices.

    Raises ConfigError where it belongs to another one, and TrackingError where it cannot be
    written. Whoever calls has the folder's lock.
    """
    earlier = look_into(folder, yaml, choices)
    if earlier.result is not None:
        return earlier
    try:
        write_json(folder / CHOICES, choices, synced=True)
        write_whole(folder / CONFIG, yaml, synced=True)
    except OSError as error:
        raise TrackingError(
            f"the run's folder {folder} cannot be written ({error.strerror}); what a run leaves "
            "goes there; make room, or set hydra.run.dir=FOLDER to another place"
        ) from error
    return earlier


def look_into(folder: Path, yaml: str, choices: Mapping[str, str]) -> EarlierAttempt:
    """What `take_folder` would find in `folder`, which stays as it is; it need not be there.

    Raises ConfigError where it belongs to another run.
    """
    wanted = values_of(yaml, choices)
    kept = _own_values(folder, wanted)
    if kept is None:
        return EarlierAttempt(folder, False)
    result = read_result(folder)
    changed = differences(kept, wanted).keys()
    if result is not None and result.finished and not BUDGET & changed:
        return EarlierAttempt(folder, True, result)
    return _as_it_was(folder)


def has_results(folder: Path) -> bool:
    """Whether a run has left something in `folder` that another one would spoil."""
    if (result := read_result(folder)) is not None and result.finished:
        return True
    return _first_of(folder, RESULTS) is not None


def _own_values(folder: Path, wanted: Values) -> Values | None:
    """The configuration of the earlier attempt that this one goes on from; None where there is
    nothing to go on from. Raises ConfigError where the folder belongs to another run."""
    kept = kept_values(folder)
    if kept is None:
        _refuse_what_nobody_knows(folder)
        return None
    differing = differences(kept, wanted)
    if not any(map(decides, differing)):
        if differing:
            log.info("not as in the earlier attempt: %s", as_text(differing))
        return kept
    if has_results(folder):
        raise ConfigError(another_run(folder, differing))
    return None


def _as_it_was(folder: Path) -> EarlierAttempt:
    environment = read_kept(folder / "environment.json")
    packages = environment.get("packages")
    tags = read_kept(folder / "tags.json")
    return EarlierAttempt(
        folder,
        True,
        code_version=environment.get("code_version"),
        mlx=packages.get("mlx") if isinstance(packages, dict) else None,
        data_fingerprint=tags.get("data_fingerprint"),
        model_fingerprint=tags.get("model_fingerprint"),
    )


def _first_of(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    # A link to a checkpoint that somebody has deleted is nothing.
    there = (path for path in found if path.exists())
    return next((path for path in there if path.is_dir() or path.stat().st_size), None)


def kept_values(folder: Path) -> Values | None:
    """The configuration that was run in `folder`; None where nobody knows of one."""
    file = folder / CONFIG
    try:
        text = file.read_text(encoding="utf-8")
        return values_of(text, read_kept(folder / CHOICES))
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever YAML and OmegaConf say of a broken file
        log.warning("%s cannot be read (%s) and counts as missing", file, type(error).__name__)
        return None


def values_of(yaml: str, choices: Mapping[str, str]) -> Values:
    """All that a configuration says, on one level."""
    tree = OmegaConf.to_container(OmegaConf.create(yaml))
    if not isinstance(tree, dict) or not tree:
        raise ValueError("no configuration")
    return {**_flat(tree), **choices}


def differences(kept: Values, wanted: Values) -> dict[str, tuple[Any, Any]]:
    """Key -> (value there, value here), where one may be `missing`.

    A choice that only one side knows is no difference: earlier versions kept none.
    """
    return {
        key: (kept.get(key, "missing"), wanted.get(key, "missing"))
        for key in dict.fromkeys((*kept, *wanted))
        if kept.get(key) != wanted.get(key) and ("." in key or (key in kept and key in wanted))
    }


def another_run(folder: Path, differing: Mapping[str, tuple[Any, Any]]) -> str:
    """What to say of a folder that belongs to another configuration."""
    deciding = {key: values for key, values in differing.items() if decides(key)}
    return (
        f"{folder} belongs to a run of another configuration: {as_text(deciding)}. Its results "
        "and its checkpoints would mix with this run's; set hydra.run.dir=FOLDER (of a sweep "
        "hydra.sweep.dir=FOLDER) to another place, or delete the folder"
    )


def as_text(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """`trainer.steps is 40 there and 80 here`, and so on."""
    said = [
        f"{key} is {_value(there)} there and {_value(here)} here"
        for key, (there, here) in list(differing.items())[:SHOWN]
    ]
    if len(differing) > SHOWN:
        said.append(f"and {len(differing) - SHOWN} more differ")
    return ", ".join(said)


def _refuse_what_nobody_knows(folder: Path) -> None:
    found = _first_of(folder, STATE)
    if found is not None:
        raise ConfigError(
            f"{folder} has {found.relative_to(folder)} of a run, but no {CONFIG} that says of "
            "which one; set hydra.run.dir=FOLDER (of a sweep hydra.sweep.dir=FOLDER) to another "
            "place, or delete the folder"
        )


def _flat(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        elif value != {}:  # a group without keys is known by its choice
            flat[f"{prefix}{key}"] = value
    return flat


def _value(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
