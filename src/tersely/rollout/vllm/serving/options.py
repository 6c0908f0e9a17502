"""What `python -m tersely.rollout.serve` can be told, as KEY=VALUE."""

import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from tersely.errors import ConfigError
from tersely.rollout.vllm.token import TOKEN_VARIABLE

PYTHON_VARIABLE = "TERSELY_VLLM_PYTHON"
METAL_PYTHON = Path("~/.venv-vllm-metal/bin/python")
"""Where the installer of vllm-metal makes its environment."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256)
"""What vLLM has room for adapters of: any of these, or less."""
CONTEXT = 4096
"""Most tokens, where nothing else is said: memory and start-up grow with them."""

Value = TypeVar("Value", str, int, float)


def _key(default: Value, meaning: str) -> Value:
    value: Value = field(default=default, metadata={"meaning": meaning})
    return value


@dataclass
class ServeOptions:
    """How to serve. Raises `ConfigError` for a value that cannot be."""

    model: str = _key(
        "", "a checkpoint folder, OWNER/NAME on the Hugging Face Hub, or `tiny`, the embedded one"
    )
    host: str = _key(
        "127.0.0.1",
        f"address to listen on; one that other machines reach wants ${TOKEN_VARIABLE} to be set, "
        "here and for the trainer",
    )
    port: int = _key(8000, "port to listen on; 0 takes a free one")
    python: str = _key(
        "",
        f"interpreter of the environment that vLLM is installed in; ${PYTHON_VARIABLE} if that is "
        "set, else vllm-metal's on a Mac that has it, else `python`",
    )
    lora_rank: int = _key(
        0, "highest rank of adapters that the trainer sends, for rollout.sync=lora; 0: none"
    )
    context: int = _key(
        0, "most tokens of a prompt and its completion together; 0: the model's, at most 4096"
    )
    dtype: str = _key(
        "auto", f"{', '.join(DTYPES)}; auto is float32 on a CPU, the checkpoint's elsewhere"
    )
    log_folder: str = _key(".", "where the server's log goes")
    timeout_s: float = _key(900.0, "seconds that the server has to start")

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError(
                "model is not set, and there is no other way to know what to serve; set "
                "model=FOLDER, model=OWNER/NAME or model=tiny"
            )
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port must lie in 0 to 65535, got {self.port}; 0 takes a free one")
        if not 0 <= self.lora_rank <= LORA_RANKS[-1]:
            raise ConfigError(
                f"lora_rank must lie in 0 to {LORA_RANKS[-1]}, got {self.lora_rank}; it is the "
                "tuning.rank of the trainer, or 0 to serve without adapters"
            )
        if self.context < 0:
            raise ConfigError(
                f"context must be at least 1, or 0 for the model's, got {self.context}"
            )
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype}")
        if not 0 < self.timeout_s < float("inf"):
            raise ConfigError(f"timeout_s must be above 0, got {self.timeout_s}")
        if not self.is_local() and not os.environ.get(TOKEN_VARIABLE):
            raise ConfigError(
                f"host={self.host} lets other machines in, and whoever reaches the server can "
                f"give it other weights; set {TOKEN_VARIABLE} to a secret, the same here and for "
                "the trainer, or serve on host=127.0.0.1"
            )
        self.python = self.python or usual_python()

    def is_local(self) -> bool:
        """Whether only this machine can reach `host`."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def help_text() -> str:
    """What `--help` says."""
    lines = [
        "Serve a policy with vLLM, for a trainer that has rollout=vllm.",
        "",
        "    python -m tersely.rollout.serve model=... [KEY=VALUE ...]",
        "",
    ]
    for key in fields(ServeOptions):
        default = f" ({key.default})" if key.default else ""
        lines += textwrap.wrap(
            f"{key.name:<12}{key.metadata['meaning']}{default}",
            width=96,
            subsequent_indent=" " * 12,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def usual_python() -> str:
    """`$TERSELY_VLLM_PYTHON`, else vllm-metal's on a Mac that has it, else `python`."""
    named = os.environ.get(PYTHON_VARIABLE)
    metal = METAL_PYTHON.expanduser()
    return named or (str(metal) if sys.platform == "darwin" and metal.exists() else "python")


def parse(arguments: Sequence[str]) -> ServeOptions:
    """Options from KEY=VALUE arguments. Raises `ConfigError`."""
    known = {key.name: key.type for key in fields(ServeOptions)}
    values: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} is not KEY=VALUE, as in port=8000; --help lists keys")
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(known)}"
            raise ConfigError(f"there is no key {key}; {hint}")
        if key in values:
            raise ConfigError(f"{key} is given twice, and one of the values would be lost")
        values[key] = _number(key, text, known[key]) if known[key] is not str else text
    return ServeOptions(**values)


def _number(key: str, text: str, kind: Any) -> Any:
    convert: Callable[[str], float] = kind
    try:
        return convert(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{key} must be {wanted}, got {text!r}") from None
