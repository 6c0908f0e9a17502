"""What was probably meant by a key or an option that there is not."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from hydra._internal.utils import get_args_parser

from tersely.config import App
from tersely.errors import ConfigError


def refuse_unknown_options(arguments: Sequence[str], app: App[Any]) -> None:
    """Raises ConfigError for `--steps 4`, which Hydra would answer with a page on its options."""
    unknown = _run_as_an_option(arguments, app) or [
        word for word in get_args_parser().parse_known_args(arguments)[1] if word != "--"
    ]
    if not unknown:
        return
    if not unknown[0].startswith("-"):
        raise ConfigError(
            f"{unknown[0]} stands behind an option that stands behind another such word; put -m "
            f"and all other options first. See `{app.called()} --help`"
        )
    option, _, value = unknown[0].partition("=")
    following = [after for word, after in pairwise(arguments) if word == option]
    if not value and following and _is_value(following[0]):
        value = following[0]
    keys = _keys_like(option.lstrip("-").replace("-", "_"), app)
    meant = " or ".join(f"{key}={value or 'VALUE'}" for key in keys)
    raise ConfigError(
        f"{option} is no option. What a run is made of is set by words without dashes, "
        f"GROUP=CHOICE or KEY=VALUE{'; here ' if meant else ''}{meant}. See `{app.called()} --help`"
    )


def _run_as_an_option(arguments: Sequence[str], app: App[Any]) -> list[str]:
    """`--run FOLDER` where `run` is a key: Hydra has a flag of that name, which nobody needs."""
    if "run" in choices_of_keys(app):
        for word, after in pairwise([*arguments, "-"]):
            if word.startswith("--run=") or (word == "--run" and _is_value(after)):
                return [word]
    return []


def _is_value(word: str) -> bool:
    return "=" not in word and not word.startswith("-")


def _keys_like(name: str, app: App[Any]) -> list[str]:
    """The key of that name, those that end with it, or the closest one."""
    keys = choices_of_keys(app)
    if name in keys:
        return [name]
    ending = [key for key in keys if key.rpartition(".")[2] == name]
    return ending or get_close_matches(name, keys, n=1)


def key_hint(message: str, app: App[Any]) -> list[str]:
    """Where the key in "Could not override 'KEY'" belongs, or which key is closest to it."""
    if not message.startswith("Could not override"):
        return []
    key = message.split("'")[1]
    choices_of = choices_of_keys(app)
    if choices_of.get(key):
        return [f"It is a key of {', '.join(choices_of[key])}."]
    close = get_close_matches(key, choices_of, n=1)
    return [f"Did you mean {close[0]}?"] if close else []


def choices_of_keys(app: App[Any]) -> dict[str, list[str]]:
    """Every key that can be set, to the choices that have it; none for what is in no group."""
    choices_of: dict[str, list[str]] = {}
    for field in fields(app.root):
        choices_of[field.name] = []
        if field.name not in app.groups and is_dataclass(field.type):
            choices_of |= {f"{field.name}.{each.name}": [] for each in fields(field.type)}
    for name, group in app.groups.items():
        for choice, schema in group.choices.items():
            for field in fields(schema):
                choices_of.setdefault(f"{name}.{field.name}", []).append(f"{name}={choice}")
    return choices_of
