"""The checkpoints of a run: which are kept, and from which one a run goes on."""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tersely.policy.load import Policy
from tersely.records import Prompt
from tersely.training.checkpoint import clear_up, save_checkpoint
from tersely.training.manifest import damage
from tersely.training.state import TrainingState, read_state, remove_state, stage_of, write_state

log = logging.getLogger(__name__)

STEP = re.compile(r"step_\d{6,}")
OF = "best.json"
"""In `best`: the stage and the step that it is of."""


class Checkpoints:
    """The folder `checkpoints/` of a run: `step_NNNNNN`, `after_STAGE`, `best`, `final`, and
    `latest`, which points to the newest. Each is a checkpoint in the Hub's layout."""

    def __init__(self, folder: Path, keep_last: int) -> None:
        """What an earlier process of the run was just writing is removed."""
        self.folder, self._keep = folder, keep_last
        clear_up(folder)

    @property
    def final(self) -> Path | None:
        """The checkpoint after the last stage, where there is a sound one."""
        return self._sound(self.folder / "final")

    def after(self, stage: str) -> Path | None:
        """The checkpoint with which `stage` ended, where there is a sound one."""
        return self._sound(self.folder / f"after_{stage}")

    def best_of(self, stage: str, step: int) -> Path | None:
        """The best by validation, where that is the one after `step` of `stage`."""
        best = self._sound(self.folder / "best")
        if best is None or json.loads((best / OF).read_text()) != {"stage": stage, "step": step}:
            return None
        return best

    def save(self, policy: Policy, first_step: int, state: TrainingState) -> Path:
        """Keep `policy` and `state`, and forget the oldest. `first_step` is how many steps
        earlier stages have taken. Raises `CheckpointError`."""
        folder = self.folder / f"step_{first_step + state.step:06d}"
        save_checkpoint(policy, folder, lambda half: write_state(state, half))
        self._point_to(folder)
        steps = self._steps()
        place = steps.index(folder)
        # Later ones are of a past that this process did not go on from.
        for other in (*steps[: max(0, place + 1 - self._keep)], *steps[place + 1 :]):
            shutil.rmtree(other, ignore_errors=True)
        return folder

    def newest(
        self, stage: str, prompts_of: Callable[[int], Sequence[Prompt]]
    ) -> TrainingState | None:
        """Where `stage` stands by the newest sound checkpoint that is of it; one that is damaged
        is named in the log and put aside."""
        for folder in reversed(self._steps()):
            if self._sound(folder) is None:
                aside = folder.with_name(f"damaged_{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                os.replace(folder, aside)
            elif stage_of(folder) == stage:
                return read_state(folder, prompts_of)
        return None

    def keep_best(self, policy: Policy, stage: str, step: int) -> None:
        """Raises `CheckpointError`."""
        of = json.dumps({"stage": stage, "step": step})
        save_checkpoint(policy, self.folder / "best", lambda half: _write(half / OF, of))

    def keep_after(self, policy: Policy, stage: str, beside: Callable[[Path], None]) -> None:
        """Keep the end of a stage that is not the last: the next one begins with it whenever it
        goes on. `beside` writes more into its folder. Raises `CheckpointError`."""
        save_checkpoint(policy, self.folder / f"after_{stage}", beside)

    def finish(self, policy: Policy) -> Path:
        """Keep `policy` as the end of the run; from here on nobody goes on from the others, which
        stay as policies. Raises `CheckpointError`."""
        final = self.folder / "final"
        if self.final is None:
            save_checkpoint(policy, final)
        self._point_to(final)
        try:
            for stage in self.folder.glob("after_*"):
                shutil.rmtree(stage)
            for folder in filter(self._sound, self._steps()):
                remove_state(folder)
        except OSError as error:
            log.warning("what nobody needs any more stays in %s (%s)", self.folder, error.strerror)
        return final

    def _steps(self) -> list[Path]:
        """Oldest first."""
        found = (path for path in self.folder.glob("step_*") if STEP.fullmatch(path.name))
        return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))

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
            log.warning(
                "%s cannot point to %s (%s)", self.folder / "latest", folder.name, error.strerror
            )


def _write(file: Path, text: str) -> None:
    file.write_text(text + "\n", encoding="utf-8")
