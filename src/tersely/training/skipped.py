"""Updates that were left out because their loss or gradient was not finite.

One may be an accident of one batch, which is kept to be looked at; a row of them is a run that
has diverged.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tersely.errors import TrainingDiverged
from tersely.records import Batch

log = logging.getLogger(__name__)


class Skipped:
    """Counts left-out updates of a stage and keeps their batches."""

    def __init__(self, folder: Path, most_in_a_row: int) -> None:
        self._folder, self._most = folder, most_in_a_row
        self._in_a_row = self._now = self._longest = 0
        self.total = 0
        self._before = self.state()

    def state(self) -> dict[str, int]:
        """What counts over steps; for `restore`."""
        return {"in_a_row": self._in_a_row, "total": self.total}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on counting from there."""
        self._in_a_row, self.total = state["in_a_row"], state["total"]

    def count(self, left_out: Sequence[bool]) -> None:
        """After each step: which of its updates were left out, in their order."""
        self._before = self.state()
        self._now, self._longest = sum(left_out), 0
        for each in left_out:
            self._in_a_row = self._in_a_row + 1 if each else 0
            self._longest = max(self._longest, self._in_a_row)
        self.total += self._now

    def keep(self, batch: Batch, advantages: Sequence[Sequence[float]]) -> None:
        """Keep the batch of the step that was just counted, if any of its updates was left out.

        Raises `TrainingDiverged` when more than the most in a row were, and counts as before that
        step, which whoever goes on takes again.
        """
        if not self._now:
            return
        file = self._write(batch, advantages)
        log.warning(
            "step %d: loss or gradient was not finite, %d of its updates left out, which changed "
            "neither weights nor optimizer; the batch is in %s",
            batch.step + 1,
            self._now,
            file,
        )
        if self._longest > self._most:
            self.restore(self._before)
            raise TrainingDiverged(
                f"{self._longest} updates in a row, up to step {batch.step + 1}, had a loss or a "
                f"gradient that is not finite; their batches are in {self._folder}. Lower "
                "trainer.learning_rate, or look there for a ratio that overflows; "
                "trainer.max_skipped_updates says how many are borne"
            )

    def _write(self, batch: Batch, advantages: Sequence[Sequence[float]]) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"step_{batch.step + 1:06d}.json"
        groups = [
            {
                "example": group.prompt.example.id,
                "prompt_ids": list(group.prompt.token_ids),
                "rollouts": [
                    {
                        "token_ids": list(rollout.token_ids),
                        "sampler_logprobs": [_readable(each) for each in rollout.sampler_logprobs],
                        "policy_version": rollout.policy_version,
                        "text": rollout.text,
                        "advantage": _readable(advantage),
                    }
                    for rollout, advantage in zip(group.rollouts, own, strict=True)
                ],
            }
            for group, own in zip(batch.groups, advantages, strict=True)
        ]
        file.write_text(json.dumps({"step": batch.step + 1, "groups": groups}, indent=1))
        return file


def _readable(number: float) -> float | str:
    """JSON has no numbers for inf and nan, and they are what one looks for here."""
    return number if math.isfinite(number) else str(number)
