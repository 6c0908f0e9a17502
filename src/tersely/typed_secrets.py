"""Secrets on the command line, refused before Hydra writes down what was typed.

A config refuses them too, but by then they are in the run's folder, and in a sweep in its name.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
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
        key, assigned, _ = argument.partition("=")
        if assigned and _SECRET.search(key):
            raise ConfigError(
                f"{key.lstrip('+')} looks like a secret, and what is typed is kept with the run; "
                "put it into an environment variable, for instance OPENAI_API_KEY for a judge "
                "(judge.api_key_env names another), TERSELY_TOKEN for workers or "
                "MLFLOW_TRACKING_PASSWORD for a tracking server"
            )
        check = _CHECKS.get(key.lstrip("+"))
        for value in _values(argument) if check else ():
            # What refers to another value is not known yet, and not written down either.
            if check and "${" not in value:
                _run(check, value)


def _run(check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except ValueError:  # no address at all, which the config says
        return


def _values(argument: str) -> Iterator[str]:
    """All that an override sets its key to, in every job of a sweep."""
    try:
        values = list(_set_by(OverridesParser.create().parse_override(argument)))
    except HydraException:  # Hydra refuses it as well, before it writes anything
        return
    for value in values:
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                yield str(each)


def _set_by(override: Override) -> Iterator[Any]:
    if override.is_choice_sweep():
        yield from override.sweep_iterator()
    elif not override.is_sweep_override():
        yield override.value()
