"""Updates that were left out because their loss or gradient was not finite.

One may be an accident of one batch, which is kept to be looked at; a row of them is a run that
has diverged.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from tersely.errors import TrainingDiverged
from tersely.records import Batch

log = logging.getLogger(__name__)


class Skipped:
    """Counts left-out updates of a stage and keeps their batches."""

    def __init__(self, folder: Path, most_in_a_row: int) -> None:
        self._folder, self._most = folder, most_in_a_row
        self._in_a_row = 0
        self.total = 0

    def note(
        self, skipped: int, made: int, batch: Batch, advantages: Sequence[Sequence[float]]
    ) -> None:
        """After each step: how many of its updates were left out and how many were made.

        Raises `TrainingDiverged` when more than the most in a row were left out; the weights
        are then those of the last update that was made.
        """
        if not skipped:
            self._in_a_row = 0
            return
        self.total += skipped
        self._in_a_row = skipped if made else self._in_a_row + skipped
        file = self._keep(batch, advantages)
        log.warning(
            "step %d: loss or gradient was not finite, %d of its updates left out; weights and "
            "optimizer are as before, the batch is in %s",
            batch.step + 1,
            skipped,
            file,
        )
        if self._in_a_row > self._most:
            raise TrainingDiverged(
                f"{self._in_a_row} updates in a row, up to step {batch.step + 1}, had a loss or a "
                f"gradient that is not finite; their batches are in {self._folder}. Lower "
                "trainer.learning_rate, or look for rewards that are not finite; "
                "trainer.max_skipped_updates says how many are borne"
            )

    def _keep(self, batch: Batch, advantages: Sequence[Sequence[float]]) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"step_{batch.step + 1:06d}.json"
        groups = [
            {
                "example": group.prompt.example.id,
                "prompt_ids": list(group.prompt.token_ids),
                "rollouts": [
                    {
                        "token_ids": list(rollout.token_ids),
                        "sampler_logprobs": list(rollout.sampler_logprobs),
                        "policy_version": rollout.policy_version,
                        "text": rollout.text,
                        "advantage": advantage,
                    }
                    for rollout, advantage in zip(group.rollouts, own, strict=True)
                ],
            }
            for group, own in zip(batch.groups, advantages, strict=True)
        ]
        file.write_text(json.dumps({"step": batch.step + 1, "groups": groups}, indent=1))
        return file
