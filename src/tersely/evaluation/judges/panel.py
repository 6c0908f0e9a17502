"""`judge=panel`: one request for all four metrics, a quarter of the calls of G-Eval."""

from functools import cache

from tersely.evaluation.judges.asking import AskingJudge, Question
from tersely.evaluation.judges.cache import Score
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.criteria import CRITERIA, HIGHEST, LOWEST
from tersely.evaluation.judges.endpoint import Endpoint, schema_of
from tersely.evaluation.judges.fence import fence_for, fenced, warning
from tersely.evaluation.judges.reading import Unreadable, read_reason, read_score, read_verdict
from tersely.evaluation.judges.verdicts import METRICS

SCHEMA = schema_of(
    {
        metric: schema_of(
            {
                "reason": {"type": "string"},
                "score": {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))},
            }
        )
        for metric in METRICS
    }
)


class PanelJudge(AskingJudge):
    """One request for a summary and round. The score is the integer, never weighed: the four
    depend on each other."""

    together = (METRICS,)

    def __init__(self, config: EndpointConfig, key: str | None) -> None:
        super().__init__(config, key, "panel")

    def instructions(self, metrics: tuple[str, ...]) -> str:
        """The request without its texts."""
        return _request("FENCE")

    async def ask(self, endpoint: Endpoint, question: Question, seed: int) -> dict[str, Score]:
        """All four scores with their reasons, or none."""
        post, summary = question.item.post, question.item.summary
        fence = fence_for(post, summary)
        prompt = (
            f"{_request(fence)}\n\n"
            f"Post:\n{fenced(post, fence)}\n\nSummary:\n{fenced(summary, fence)}\n\n"
            "Reply with the JSON object and nothing else."
        )
        completion = await endpoint.complete(prompt, SCHEMA, seed)
        verdict = read_verdict(completion, METRICS, (post, summary))
        scores = {}
        for metric in METRICS:
            given = verdict[metric]
            if not isinstance(given, dict) or not {"reason", "score"} <= set(given):
                raise Unreadable(f"the reply has no reason and score for {metric}")
            score = (read_score(given["score"]) - LOWEST) / (HIGHEST - LOWEST)
            scores[metric] = Score(score, read_reason(given["reason"]))
        return scores


@cache
def _criteria() -> str:
    parts = []
    for metric, criterion in CRITERIA.items():
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(criterion.steps, 1))
        bands = "\n".join(
            f"{low} to {high}: {meaning}" if low < high else f"{low}: {meaning}"
            for (low, high), meaning in criterion.bands()
        )
        parts.append(f"## {metric}\n{steps}\nScores:\n{bands}")
    return "\n\n".join(parts)


def _request(fence: str) -> str:
    return (
        "Judge a summary of a post on four metrics, each by itself and by its own steps.\n\n"
        f"{_criteria()}\n\n"
        f"{warning(fence)}\n\n"
        f"For each metric give a reason, short and specific, and then a whole number from {LOWEST} "
        f"to {HIGHEST}. Reply with one JSON object of this form:\n"
        '{"faithfulness": {"reason": "...", "score": N}, "coverage": {"reason": "...", '
        '"score": N}, "conciseness": {"reason": "...", "score": N}, "clarity": {"reason": "...", '
        '"score": N}}'
    )
