"""A secret on the command line leaves nothing behind."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.typed_secrets import refuse_typed_secrets

ROOT = Path(__file__).parents[1]
SECRET = "sk-abc_123"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (f"judge.api_key_env={SECRET}", "judge.api_key_env"),
        (f"+judge.api_key_env={SECRET}", "judge.api_key_env"),
        (f"++judge.api_key_env='{SECRET}'", "judge.api_key_env"),
        (f"judge.api_key_env=MY_KEY,{SECRET}", "judge.api_key_env"),
        (f"judge.api_key_env=choice(MY_KEY,{SECRET})", "judge.api_key_env"),
        (f"judge.base_url=http://user:{SECRET}@host:8000/v1", "judge.base_url"),
        (f"judge.base_url='http://host/v1?key={SECRET}'", "judge.base_url"),
        (f"judge.base_url=http://host/v1,http://{SECRET}@host/v1", "judge.base_url"),
        (f"rollout.workers=[http://host:1,http://user:{SECRET}@host:2]", "rollout.workers"),
        (f"rollout.workers=[http://host:1],[http://user:{SECRET}@host:2]", "rollout.workers"),
        (f"tracking.store=http://user:{SECRET}@host:5000", "tracking.store"),
        (f"tracking.store=https://{SECRET}@host", "tracking.store"),
        (f"tracking.store=http://user:{SECRET}", "tracking.store is no address"),
        (f"judge.base_url=http://user:{SECRET}", "judge.base_url is no address"),
        (f"tracking.store='http://host/?token={SECRET}'", "tracking.store"),
        (f"tracking.store=postgresql://user:{SECRET}@host/runs", "tracking.store"),
        (f"tracking.store='mysql:u:{SECRET}@h'", "tracking.store has a name"),
        (f"tracking.store='sqlite:u:{SECRET}@h'", "tracking.store has a name"),
        (f"tracking.store='http://host/#token={SECRET}'", "tracking.store has a name"),
        (f"judge.api_key={SECRET}", "judge.api_key looks like a secret"),
        (f"+judge.api_key={SECRET}", "judge.api_key looks like a secret"),
        (f"+hydra.job.env_set.OPENAI_API_KEY={SECRET}", "OPENAI_API_KEY looks like a secret"),
        (f"+rollout.token={SECRET}", "rollout.token looks like a secret"),
        (f"tracking.password={SECRET}", "tracking.password looks like a secret"),
        (f"judge={{base_url:'http://u:{SECRET}@h/v1'}}", "judge.base_url"),
        (f"judge={{api_key_env:{SECRET}}},{{api_key_env:MY_KEY}}", "judge.api_key_env"),
        (f"+hydra.job.env_set={{OPENAI_API_KEY:{SECRET}}}", "OPENAI_API_KEY looks like a secret"),
        (f"hydra={{job:{{env_set:{{A_TOKEN:{SECRET}}}}}}}", "A_TOKEN looks like a secret"),
        (f"tracking={{store:'http://u:{SECRET}@h'}}", "tracking.store"),
        (f"rollout={{workers:['http://u:{SECRET}@h:1']}}", "rollout.workers"),
        (f"rollout.workers.0='http://u:{SECRET}@h:1'", "rollout.workers"),
        (f"+rollout.tokens=[{{token:{SECRET}}}]", "rollout.tokens.token looks like a secret"),
        (f"+extra={{token:{SECRET}}}", "extra.token looks like a secret"),
        (f"+token={{of:{SECRET}}}", "token looks like a secret"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(argument: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        refuse_typed_secrets(["judge=panel", argument])
    assert SECRET not in str(raised.value)


def test_all_else_is_left_to_hydra_and_the_config() -> None:
    """Names, addresses, references, sweeps, and what is no override or no address."""
    refuse_typed_secrets(
        [
            "-m",
            "judge=panel,none",
            "judge.model=sk-no-secret",
            "judge.api_key_env=MY_KEY,OTHER_KEY",
            "judge.api_key_env=null",
            "judge.api_key_env='MY_KEY','OTHER_KEY'",
            "judge={api_key_env:MY_KEY,base_url:'http://127.0.0.1:8000/v1'}",
            "rollout={workers:['http://a:8000']}",
            "+extra={max_tokens:7,1:2,empty:{}}",
            "judge.api_key_env=${oc.env:NAME}",
            "~judge.api_key_env",
            "judge.api_key_env=glob(*)",
            "judge.api_key_env=[",
            "judge.base_url=http://127.0.0.1:8000/v1",
            "rollout.workers=[http://a:8000,http://b:8000]",
            "tracking.store=http://127.0.0.1:5000",
            "tracking.store=sqlite:///runs.db",
            "tracking.store='sqlite:///me@home/#1.db'",
            "rollout.max_tokens=72",
        ]
    )


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=1,2")])
def test_nothing_is_written(script: str, sweep: tuple[str, ...], tmp_path: Path) -> None:
    """No folder of Hydra, no result and no name of a sweep; exit code 2, one paragraph."""
    environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *sweep, "judge=panel", f"judge.api_key_env={SECRET}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 2 == done.returncode
    assert [] == list(tmp_path.iterdir())
    assert "Error: judge.api_key_env is not the name of an environment variable" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_no_key_of_a_configuration_is_taken_for_a_secret() -> None:
    """Every key that can be set, of every choice."""
    from tersely.config import GROUPS

    keys = {
        f"{name}.{each.name}"
        for name, group in GROUPS.items()
        for schema in group.choices.values()
        for each in fields(schema)
    }
    refuse_typed_secrets([f"{key}=1" for key in keys - {"judge.api_key_env"}])
