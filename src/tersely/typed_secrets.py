"""Secrets on the command line, refused before Hydra writes down what was typed.

A config refuses them too, but by then they are in the run's folder, and in a sweep in its name.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from tersely.errors import ConfigError
from tersely.evaluation.judges.config import check_base_url_is_public, check_key_name
from tersely.rollout.vllm.config import check_worker_is_public
from tersely.tracking.address import check_store_is_public

_CHECKS: dict[str, Callable[[str], None]] = {
    "judge.api_key_env": check_key_name,
    "judge.base_url": check_base_url_is_public,
    "rollout.workers": check_worker_is_public,
    "tracking.store": check_store_is_public,
}
_SECRET = re.compile(r"(api_?key|token|password|passwd|secret)$", re.IGNORECASE)
"""How the name of a secret ends. No key of a configuration does; one that is added (+) or an
environment variable (hydra.job.env_set) may."""


def refuse_typed_secrets(arguments: Sequence[str]) -> None:
    """Raises `ConfigError`, the config's own, for an override that has a secret for its value."""
    for argument in arguments:
        for key, value in _typed(argument):
            if any(map(_SECRET.search, key.split("."))):
                raise ConfigError(
                    f"{key} looks like a secret, and what is typed is kept with the run; put it "
                    "into an environment variable, for instance OPENAI_API_KEY for a judge "
                    "(judge.api_key_env names another), TERSELY_TOKEN for workers or "
                    "MLFLOW_TRACKING_PASSWORD for a tracking server"
                )
            check = _CHECKS.get(key)
            # What refers to another value is not known yet, and not written down either.
            if check and value is not None and "${" not in value:
                _run(check, value)


def _run(check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except ValueError:  # no address at all, which the config says
        return


def _typed(argument: str) -> Iterator[tuple[str, str | None]]:
    """Each key that an override sets, and what to, in every job of a sweep: also those in a
    mapping (`judge={base_url: ...}`) or in a list, which are named without their index."""
    key, assigned, _ = argument.partition("=")
    if assigned:
        yield key.lstrip("+~"), None
    try:
        override = OverridesParser.create().parse_override(argument)
        values = list(_set_by(override))
    except HydraException:  # Hydra refuses it as well, before it writes anything
        return
    for value in values:
        yield from _leaves(override.key_or_group, value)


def _leaves(key: str, value: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(f"{key}.{_plain(name)}", each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(key, each)
    else:
        named = ".".join(part for part in key.split(".") if not part.isdigit())
        yield named, None if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value


def _set_by(override: Override) -> Iterator[Any]:
    if override.is_choice_sweep():
        yield from override.sweep_iterator()
    elif not override.is_sweep_override():
        yield override.value()
