"""What the checks of a run have found: said in the log, and a tag of the run."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tersely.errors import CheckFailed
from tersely.training.checks.seen import Finding
from tersely.whole_file import read_kept, write_json

log = logging.getLogger(__name__)

FILE = "findings.json"
TAG = "checks"
NOTHING = "none"
"""The tag of a run that has ended and was sound."""


class Tagged(Protocol):
    """The part of a tracker that findings need."""

    def tags(self, values: Mapping[str, str]) -> None: ...


class Findings:
    """Of one run, over its stages and the scoring of its test split."""

    def __init__(
        self, tracker: Tagged | None = None, *, strict: bool = False, known: Sequence[str] = ()
    ) -> None:
        """`known` are names of checks that found something in an earlier process of the run."""
        self._tracker, self._strict, self._known = tracker, strict, tuple(known)
        self._found: list[tuple[str, Finding]] = []

    @property
    def names(self) -> list[str]:
        """Of the checks that have found something, in order, each once."""
        return list(dict.fromkeys((*self._known, *(finding.name for _, finding in self._found))))

    def add(self, finding: Finding | None, where: str) -> None:
        """Say a finding and tag the run with it. `where` ends the first words of a sentence:
        `step 12 of stage joint`. None changes nothing."""
        if finding is None:
            return
        self._found.append((where, finding))
        log.warning("self-check %s, %s: %s", finding.name, where, finding.sentence)
        self._tag()

    def enforce(self) -> None:
        """Raise `CheckFailed` with all that was found, where `checks.strict` wants that: what
        is said first need not be the cause of the rest."""
        if self._strict and self._found:
            said = ". ".join(
                f"self-check {finding.name}, {where}: {finding.sentence}"
                for where, finding in self._found
            )
            raise CheckFailed(
                f"{said}. The run ends because of checks.strict=true; docs/checks.md explains "
                "each check, and checks.strict=false makes it a warning"
            )

    def finish(self) -> None:
        """The run is complete: where nothing was found, its tag says so."""
        self._tag()

    def save(self, folder: Path) -> None:
        """Into the checkpoint of a stage: whoever goes on from it takes them over."""
        write_json(folder / FILE, {"found": self.state()})

    def take_over(self, folder: Path) -> None:
        """Say as one's own what another process has found while it trained the stage whose
        checkpoint is in `folder`. Raises `CheckFailed` as `enforce` does."""
        known = set(self.names)
        for where, name, sentence in read_kept(folder / FILE).get("found", []):
            if name not in known:
                self.add(Finding(name, sentence), f"{where}, trained earlier")
        self.enforce()

    def state(self) -> list[list[str]]:
        """As JSON values, for `restore`."""
        return [[where, finding.name, finding.sentence] for where, finding in self._found]

    def restore(self, state: Any) -> None:
        """Go on from `state()`; what was said before is not said again."""
        self._found = [(where, Finding(name, sentence)) for where, name, sentence in state]
        if self._found:
            self._tag()

    def _tag(self) -> None:
        if self._tracker is not None:
            self._tracker.tags({TAG: ",".join(self.names) or NOTHING})
