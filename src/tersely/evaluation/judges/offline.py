"""Judges that ask nobody: by the facts of generated posts and stated rules, and none at all."""

import logging
from collections.abc import Sequence

from tersely.data.facts import coverage, faithfulness, states
from tersely.evaluation.judges.rules import clarity, conciseness
from tersely.evaluation.judges.verdicts import METRICS, Judged, Verdict, Verdicts

log = logging.getLogger(__name__)


class NoneJudge:
    """`judge=none`: judges nothing."""

    name = "none"
    metrics: tuple[str, ...] = ()

    def judge(self, items: Sequence[Judged]) -> Verdicts:
        """No verdicts."""
        return Verdicts()


class FactsJudge:
    """`judge=facts`: one round, since it would say the same in every other.

    Faithfulness and coverage are exact, see `data/facts.py`; conciseness and clarity go by the
    rules of `rules.py`. A summary of a post whose facts are not known is not judged.
    """

    name = "facts"
    metrics = METRICS

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def judge(self, items: Sequence[Judged]) -> Verdicts:
        """Verdicts on those of `items` whose facts are known."""
        known = [item for item in items if item.facts]
        if len(known) < len(items):
            log.info(
                "judge=facts leaves out %d of %d summaries: only generated posts have known "
                "facts; judge=geval or judge=panel judge any",
                len(items) - len(known),
                len(items),
            )
        verdicts = (verdict for item in known for verdict in self._judge(item))
        return Verdicts(tuple(verdicts), self._threshold)

    def _judge(self, item: Judged) -> list[Verdict]:
        scores = {
            "faithfulness": faithfulness(item.summary, item.facts),
            "coverage": coverage(item.summary, item.facts),
            "conciseness": conciseness(item.summary, item.post),
            "clarity": clarity(item.summary),
        }
        left_out = [
            fact.slot
            for fact in item.facts
            if not any(states(item.summary, form) for form in fact.forms)
        ]
        reasons = {"coverage": f"leaves out {', '.join(left_out)}" if left_out else "states all"}
        return [
            Verdict(item.id, metric, 0, score, reasons.get(metric, "by rule"), self.name)
            for metric, score in scores.items()
        ]
