"""What a stage leaves while it goes on, and picks up where it has to go on.

What counts over steps says so by `state()` and `restore()`, and is kept with the weights.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tersely.errors import CheckpointError
from tersely.policy.load import Policy
from tersely.records import Prompt
from tersely.rollout.prefetch import Sampled
from tersely.training.checkpoints import Checkpoints
from tersely.training.config import TrainerConfig
from tersely.training.precision import Weights
from tersely.training.state import TrainingState
from tersely.training.validation import Validation

log = logging.getLogger(__name__)


class Counts(Protocol):
    """Something that counts over steps."""

    def state(self) -> Mapping[str, Any]:
        """As JSON values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        ...


class Lifeline:
    """Of a stage that keeps nothing and begins at its beginning."""

    ended = False
    """Whether the stage is to end before its last step."""

    def pick_up(
        self,
        weights: Weights,
        counts: Mapping[str, Counts],
        prompts_of: Callable[[int], Sequence[Prompt]],
    ) -> tuple[int, Sequence[Sampled]]:
        """Give weights and counts what they had; the steps that are done, and the batches that
        were in flight then."""
        return 0, ()

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due after `step` steps."""
        return False

    def look(self, step: int) -> dict[str, float]:
        """`validation/...` after `step` steps; empty where no look is due."""
        return {}

    def keep(self, step: int, weights: Weights, in_flight: Sequence[Sampled] = ()) -> str | None:
        """Keep where the stage stands after `step` steps; what to say of it. None where nothing
        is kept."""
        return None


class StageLifeline(Lifeline):
    """Of a stage of a run."""

    def __init__(
        self,
        policy: Policy,
        checkpoints: Checkpoints,
        trainer: TrainerConfig,
        *,
        stage: str,
        first_step: int,
        validation: Validation,
    ) -> None:
        """`first_step` is how many steps earlier stages of the run have taken."""
        self._policy, self._checkpoints = policy, checkpoints
        self._every = trainer.save_every
        self._stage, self._first_step = stage, first_step
        self._validation = validation
        self._counts: dict[str, Counts] = {"validation": validation}

    @property
    def ended(self) -> bool:  # type: ignore[override]
        return self._validation.ended

    def pick_up(
        self,
        weights: Weights,
        counts: Mapping[str, Counts],
        prompts_of: Callable[[int], Sequence[Prompt]],
    ) -> tuple[int, Sequence[Sampled]]:
        """See `Lifeline.pick_up`."""
        self._counts |= counts
        state = self._checkpoints.newest(self._stage, prompts_of)
        if state is None:
            return 0, ()
        weights.restore(state.arrays)
        for name, counting in self._counts.items():
            if name in state.history:
                counting.restore(state.history[name])
            else:
                log.warning("the checkpoint says nothing of %s, which begins anew", name)
        log.info("stage %s goes on after step %d, from its checkpoint", self._stage, state.step)
        return state.step, state.in_flight

    def due(self, step: int) -> bool:
        return self._every is not None and step % self._every == 0

    def look(self, step: int) -> dict[str, float]:
        return self._validation.after(step)

    def keep(self, step: int, weights: Weights, in_flight: Sequence[Sampled] = ()) -> str | None:
        """A checkpoint that cannot be written is said in the log: training goes on, and the one
        before it is still there."""
        if self._first_step + step == 0:
            return None
        history = {name: counting.state() for name, counting in self._counts.items()}
        state = TrainingState(self._stage, step, weights.arrays(), in_flight, history)
        try:
            folder = self._checkpoints.save(self._policy, self._first_step, state)
        except CheckpointError as error:
            log.error("%s. Training goes on, and what was kept before is still there", error)
            return None
        return f"The run can go on after step {self._first_step + step}: {folder.resolve()}"
