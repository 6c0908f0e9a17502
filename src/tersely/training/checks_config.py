"""The key `checks`. Apart from the checks, so that composing a run does not import MLX."""

from dataclasses import dataclass


@dataclass
class ChecksConfig:
    """What becomes of what the self-checks find; see docs/checks.md."""

    strict: bool = False
    """End the run with an error at the first finding, instead of warning of it and going on."""
