"""G-Eval and the panel with a real vLLM server. The embedded model judges, and knows nothing of
judging: its scores mean nothing, the protocol and the schema are real."""

import asyncio
import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rollout.vllm.conftest import real_server  # noqa: F401

from tersely.evaluation.judges import geval, panel
from tersely.evaluation.judges.budget import Budget
from tersely.evaluation.judges.config import EndpointConfig, GevalConfig, PanelConfig
from tersely.evaluation.judges.endpoint import Endpoint
from tersely.evaluation.judges.reading import score_alternatives
from tersely.evaluation.judges.verdicts import METRICS, Judged
from tersely.policy.load import TINY, load_policy
from tersely.rollout.vllm.serving.options import PYTHON_VARIABLE
from tersely.rollout.vllm.token import TOKEN_VARIABLE, token_for
from tersely.training.checkpoint import save_checkpoint

ITEMS = [Judged(f"test-{n}", f"my dog {n} ran off. " * 5, f"dog {n} ran.") for n in range(3)]


@dataclass(frozen=True)
class Server:
    """A real server."""

    base_url: str
    model: str


@pytest.fixture(scope="module")
def vllm_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with a vLLM that writes JSON without white space between its parts: this
    judge would write nothing else."""
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        pytest.skip(f"{PYTHON_VARIABLE} is not set: `nox -s vllm` makes an environment with vLLM")
    wrapper = tmp_path_factory.mktemp("python") / "python"
    options = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
    compact = f"--structured-outputs-config '{options}'"
    wrapper.write_text(
        '#!/bin/sh\nif [ "$1 $2" = "-m vllm.entrypoints.openai.api_server" ]; then\n'
        f'  exec "{python}" "$@" {compact}\nfi\nexec "{python}" "$@"\n'
    )
    wrapper.chmod(0o755)
    return str(wrapper)


@pytest.fixture(scope="module")
def server(
    real_server: Callable[..., str],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """The embedded model, with room for a judge's request. Its token is the judge's key."""
    folder = tmp_path_factory.mktemp("judge") / "judge"
    save_checkpoint(load_policy(TINY), folder)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = 8192
    (folder / "config.json").write_text(json.dumps(config))
    address = real_server(folder, context=6144)
    token = token_for(address) or ""
    asked = urllib.request.Request(
        f"{address}/v1/models", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(asked, timeout=60) as reply:
        model = json.load(reply)["data"][0]["id"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(TOKEN_VARIABLE, token)
        yield Server(f"{address}/v1", model)


@pytest.fixture(autouse=True)
def short_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """This judge ends no sentence by itself."""
    for module in (geval, panel):
        schema = json.loads(json.dumps(module.SCHEMA))
        for part in (schema, *schema["properties"].values()):
            if "reason" in part.get("properties", {}):
                part["properties"]["reason"]["maxLength"] = 20
        monkeypatch.setattr(module, "SCHEMA", schema)


def configured(server: Server, kind: type[EndpointConfig], folder: Path) -> EndpointConfig:
    """A judge that asks the server twice."""
    return kind(
        base_url=server.base_url,
        model=server.model,
        api_key_env=TOKEN_VARIABLE,
        rounds=2,
        max_tokens=300,
        max_concurrent=4,
        max_missing_share=0.0,
        cache_folder=str(folder),
    )


@pytest.mark.parametrize(("kind", "calls"), [(GevalConfig, 24), (PanelConfig, 6)])
def test_every_verdict_is_read(
    kind: type[EndpointConfig], calls: int, server: Server, tmp_path: Path
) -> None:
    """3 summaries in 2 rounds: 24 verdicts in [0, 1], none missing; tokens are counted, and judging
    again asks for nothing."""
    judge = configured(server, kind, tmp_path).build()
    judged = judge.judge(ITEMS)

    assert 24 == len(judged.verdicts)
    assert all(v.score is not None and 0 <= v.score <= 1 for v in judged.verdicts)
    assert calls == judged.usage.calls
    assert judged.usage.prompt_tokens > 100 * calls
    assert judged.usage.completion_tokens > 0
    assert (0, calls) == (lambda usage: (usage.calls, usage.cached))(judge.judge(ITEMS).usage)
    assert set(METRICS) == {v.metric for v in judged.verdicts}


def test_log_probabilities_are_found_at_the_place_of_the_score(
    server: Server, tmp_path: Path
) -> None:
    """vLLM gives them token by token; the tokens are those of the text."""
    config = configured(server, GevalConfig, tmp_path)

    async def ask() -> Any:
        async with Endpoint(config, os.environ[TOKEN_VARIABLE], Budget(config)) as endpoint:
            return await endpoint.complete("Judge.", geval.SCHEMA, 1, geval.TOP_LOGPROBS)

    completion = asyncio.run(ask())
    alternatives = score_alternatives(completion)

    assert alternatives, completion
    written = str(json.loads(completion.text)["score"])
    assert written in dict(alternatives), alternatives
    assert all(logprob <= 0 for _, logprob in alternatives)
