"""Which prompts each step trains on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tersely.records import Prompt
from tersely.seeds import derive


@dataclass(frozen=True)
class PromptOrder:
    """Endless passes over the training prompts, each in a fresh order; a pure function of the
    step, so that a run can be entered anywhere."""

    prompts: Sequence[Prompt]
    per_step: int
    seed: int

    def __call__(self, step: int) -> list[Prompt]:
        """The prompts of `step`, `[P]`."""
        first = step * self.per_step
        return [self._at(position) for position in range(first, first + self.per_step)]

    def _at(self, position: int) -> Prompt:
        epoch, place = divmod(position, len(self.prompts))
        return self.prompts[self._shuffled(epoch)[place]]

    def _shuffled(self, epoch: int) -> list[int]:
        order = list(range(len(self.prompts)))
        random.Random(derive(self.seed, "order", epoch)).shuffle(order)
        return order
