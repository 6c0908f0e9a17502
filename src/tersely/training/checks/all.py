"""All checks together, fed by the training loop."""

from collections.abc import Mapping
from typing import Any

from tersely.training.checks.completions import (
    CompletionsCut,
    EndNeverLabel,
    LengthDrift,
    SameText,
)
from tersely.training.checks.examples import PromptsCut
from tersely.training.checks.findings import Findings
from tersely.training.checks.reference import ReferenceMoved
from tersely.training.checks.rewards import NoSpread, OneTermDecides, TermConstant
from tersely.training.checks.sampling import SamplerDisagrees, SyncNotTaken
from tersely.training.checks.seen import Check, Finding, Seen, Setting
from tersely.training.checks.updates import FewChanges, GradientClipped, RatioConstant

CHECKS: tuple[type[Check], ...] = (
    RatioConstant,
    FewChanges,
    GradientClipped,
    ReferenceMoved,
    SamplerDisagrees,
    SyncNotTaken,
    EndNeverLabel,
    PromptsCut,
    CompletionsCut,
    LengthDrift,
    SameText,
    NoSpread,
    OneTermDecides,
    TermConstant,
)
"""In the order of docs/checks.md; the last of which looks at the test split, and at no step."""


class Checks:
    """The checks of one stage; none without a setting. Each speaks once, and its history goes on
    in a resumed run."""

    def __init__(self, setting: Setting | None = None, findings: Findings | None = None) -> None:
        self._stage = setting.stage if setting else ""
        self._checks = {check.name: check(setting) for check in CHECKS} if setting else {}
        self._findings = findings or Findings()
        self.findings: list[Finding] = []
        """Of this stage so far."""

    def after_step(self, seen: Seen) -> dict[str, float]:
        """See a step; `checks/found`, and `checks/<name>` of every check that has found
        something. What is found now is logged and tagged."""
        found = {finding.name for finding in self.findings}
        for name, check in self._checks.items():
            if name not in found and (sentence := check.look(seen)) is not None:
                finding = Finding(name, sentence)
                self.findings.append(finding)
                self._findings.add(finding, f"step {seen.step} of stage {self._stage}")
        return {
            "checks/found": float(len(self.findings)),
            **{f"checks/{finding.name}": 1.0 for finding in self.findings},
        }

    def enforce(self) -> None:
        """Raise `CheckFailed` where something was found and `checks.strict` wants that; to be
        called when the step has been reported."""
        self._findings.enforce()

    def state(self) -> dict[str, Any]:
        """As JSON values: what every check remembers, and what was found in the whole run."""
        return {
            "checks": {name: check.state() for name, check in self._checks.items()},
            "found": [[finding.name, finding.sentence] for finding in self.findings],
            "run": self._findings.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        for name, check in self._checks.items():
            if name in state["checks"]:
                check.restore(state["checks"][name])
        self.findings = [Finding(name, sentence) for name, sentence in state["found"]]
        self._findings.restore(state["run"])
