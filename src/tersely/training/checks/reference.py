"""Whether the reference of the KL term stays what it was."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from tersely.training.checks.seen import Check, Seen, Setting

EVERY = 10
"""Steps from one comparison to the next."""
SAMPLED = 256
"""Numbers of each array that are compared. An optimizer moves all of an array at once, and this
many of each are read in a tenth of a second of a model of 300 million parameters."""


def fingerprint(model: nn.Module) -> str:
    """16 hex digits of some numbers of every parameter of `model`, to the bit."""
    digest = hashlib.blake2b(digest_size=8)
    for name, array in tree_flatten(model.parameters()):
        step = max(1, array.size // SAMPLED)
        bits: Any = mx.contiguous(array.reshape(-1)[::step]).view(mx.uint8)
        digest.update(name.encode())
        digest.update(memoryview(bits))
    return digest.hexdigest()


class ReferenceMoved(Check):
    """The reference is trained along, or a resumed run has another one."""

    name: ClassVar[str] = "reference_moved"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._first: str | None = None
        self._compared = False
        """Whether this process has compared it; after a restore that is due at once."""

    def look(self, seen: Seen) -> str | None:
        if seen.reference is None or (self._compared and seen.step % EVERY):
            return None
        now = fingerprint(seen.reference)
        first, self._first, self._compared = self._first, self._first or now, True
        if first is None or first == now:
            return None
        return (
            "the reference of the KL term is not what it was when the stage began: "
            "loss/kl_reference and the pull of loss.beta are against weights that move along, so "
            "nothing holds the policy. Results of this run with loss.beta above 0 are not what "
            "they say; begin it anew, and loss.beta=0 does without a reference"
        )

    def state(self) -> dict[str, Any]:
        return {"first": self._first}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._first, self._compared = state["first"], False
