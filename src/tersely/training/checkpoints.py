"""The checkpoints of a run: which are kept, and from which one a run goes on."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tersely.errors import CheckpointError
from tersely.policy.load import Policy
from tersely.records import Prompt
from tersely.training.checkpoint import save_checkpoint
from tersely.training.manifest import damage
from tersely.training.state import TrainingState, read_state, remove_state, stage_of, write_state

log = logging.getLogger(__name__)


class Checkpoints:
    """The folder `checkpoints/` of a run: `step_NNNNNN`, `best`, `final`, and `latest`, which
    points to the newest of them. Each is a checkpoint in the Hub's layout."""

    def __init__(self, folder: Path, keep_last: int) -> None:
        self.folder, self._keep = folder, keep_last

    @property
    def final(self) -> Path | None:
        """The checkpoint after the last stage, where there is a sound one."""
        return self._sound(self.folder / "final")

    @property
    def best(self) -> Path | None:
        """The best by validation so far, where there is a sound one."""
        return self._sound(self.folder / "best")

    def save(self, policy: Policy, first_step: int, state: TrainingState) -> Path:
        """Keep `policy` and `state`, and forget the oldest. `first_step` is how many steps
        earlier stages have taken. Raises `CheckpointError`."""
        folder = self.folder / f"step_{first_step + state.step:06d}"
        save_checkpoint(policy, folder, lambda half: write_state(state, half))
        self._point_to(folder)
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def newest(
        self, stage: str, prompts_of: Callable[[int], Sequence[Prompt]]
    ) -> TrainingState | None:
        """Where `stage` stands by the newest sound checkpoint that is of it; one that is damaged
        is named in the log and passed over. What a killed run was just writing is removed."""
        for half in self.folder.glob(".*-*"):
            shutil.rmtree(half, ignore_errors=True)
        for folder in reversed(self._steps()):
            if (sound := self._sound(folder)) and stage_of(sound) == stage:
                return read_state(sound, prompts_of)
        return None

    def keep_best(self, policy: Policy) -> None:
        """Raises `CheckpointError`."""
        save_checkpoint(policy, self.folder / "best")

    def finish(self, policy: Policy) -> Path:
        """Keep `policy` as the end of the run; from here on nobody goes on from the others, which
        stay as policies. Raises `CheckpointError`."""
        final = self.folder / "final"
        if self.final is None:
            save_checkpoint(policy, final)
        self._point_to(final)
        for folder in filter(self._sound, self._steps()):
            remove_state(folder)
        return final

    def _steps(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("step_*"))

    def _sound(self, folder: Path) -> Path | None:
        if not folder.is_dir():
            return None
        if wrong := damage(folder):
            log.warning("the checkpoint %s is damaged and not used: %s", folder, wrong)
            return None
        return folder

    def _point_to(self, folder: Path) -> None:
        link = self.folder / ".latest"
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(folder.name)
            os.replace(link, self.folder / "latest")
        except OSError as error:
            raise CheckpointError(
                f"{self.folder / 'latest'} cannot point to {folder.name} ({error.strerror}); the "
                "checkpoint itself is there"
            ) from error
