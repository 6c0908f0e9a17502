"""G-Eval through DeepEval: `judge=geval` and its kin, a request for each metric.

Y. Liu et al., "G-Eval: NLG Evaluation using GPT-4 with Better Human Alignment", 2023: a model
follows evaluation steps and gives a score; where the endpoint has log-probabilities, the score is
their mean over the possible scores (section 2.2, sum of p(s) * s), here over those of at least 1 %.
"""

import json
import os
from functools import cache
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

# Before the import: it reports what is measured and reads a `.env` file otherwise.
os.environ.setdefault("DEEPEVAL_TELEMETRY_OPT_OUT", "1")
os.environ.setdefault("DEEPEVAL_DISABLE_DOTENV", "1")

from deepeval.errors import ContextWindowExceededError
from deepeval.metrics import GEval
from deepeval.metrics.g_eval import Rubric
from deepeval.models import DeepEvalBaseLLM
from deepeval.test_case import LLMTestCase, SingleTurnParams

from tersely.evaluation.judges.asking import AskingJudge, Question
from tersely.evaluation.judges.cache import Score
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.criteria import CRITERIA, HIGHEST, LOWEST
from tersely.evaluation.judges.endpoint import Endpoint, schema_of
from tersely.evaluation.judges.fence import fence_for, fenced, warning
from tersely.evaluation.judges.reading import (
    read_reason,
    read_score,
    read_verdict,
    score_alternatives,
)
from tersely.evaluation.judges.verdicts import METRICS

TOP_LOGPROBS = 10
"""As many as there are scores; mlx_lm.server gives no more than 11."""

SCHEMA = schema_of(
    {
        # In this order: the reason comes first, so that the score follows from it.
        "reason": {"type": "string"},
        "score": {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))},
    }
)


class GevalJudge(AskingJudge):
    """Four requests for a summary and round."""

    together = tuple((metric,) for metric in METRICS)

    def __init__(self, config: EndpointConfig, key: str | None) -> None:
        super().__init__(config, key, "geval")

    def instructions(self, metrics: tuple[str, ...]) -> str:
        """The steps, the rubric and the version of DeepEval, whose frame is around them."""
        return _instructions(metrics[0])

    async def ask(self, endpoint: Endpoint, question: Question, seed: int) -> dict[str, Score]:
        """One G-Eval: DeepEval writes the prompt and weighs the score."""
        (metric,) = question.metrics
        item, criterion = question.item, CRITERIA[metric]
        fence = fence_for(item.post, item.summary)
        shown = [SingleTurnParams.ACTUAL_OUTPUT]
        if criterion.reads_post:
            shown.insert(0, SingleTurnParams.INPUT)
        geval = GEval(
            name=metric,
            evaluation_params=shown,
            evaluation_steps=_steps(metric, fence),
            rubric=_rubric(metric),
            model=_Model(endpoint, seed, (item.post, item.summary)),
            top_logprobs=TOP_LOGPROBS,
        )
        case = LLMTestCase(
            input=fenced(item.post, fence), actual_output=fenced(item.summary, fence)
        )
        # DeepEval takes a text with a mark of its own for one with a picture, and fails.
        case.multimodal = False
        try:
            score = await geval.a_measure(case, _show_indicator=False)
        except ContextWindowExceededError as error:
            # What DeepEval makes of any error that says "context length": one request's, not all's.
            raise (error.__cause__ or error) from None
        return {metric: Score(score, str(geval.reason))}


class _Model(DeepEvalBaseLLM):  # type: ignore[no-untyped-call]
    """The endpoint as a model of DeepEval, for one request."""

    def __init__(self, endpoint: Endpoint, seed: int, judged: tuple[str, ...]) -> None:
        self._endpoint, self._seed, self._judged = endpoint, seed, judged
        super().__init__()

    async def a_generate_raw_response(
        self, prompt: str, top_logprobs: int
    ) -> tuple[SimpleNamespace, None]:
        """A checked reply in the shape that DeepEval reads; nothing in it can make it fail.

        Of the log-probabilities only those at the place of the score are left: DeepEval takes the
        last token that looks like the score, wherever it stands, and every number for a score.
        """
        completion = await self._endpoint.complete(prompt, SCHEMA, self._seed, top_logprobs)
        verdict = read_verdict(completion, ("reason", "score"), self._judged)
        score = read_score(verdict["score"])
        content = json.dumps({"reason": read_reason(verdict["reason"]), "score": score})
        choice = SimpleNamespace(message=SimpleNamespace(content=content), logprobs=None)
        alternatives = score_alternatives(completion)
        if alternatives:
            others = [SimpleNamespace(token=digit, logprob=at) for digit, at in alternatives]
            place = SimpleNamespace(token=str(score), top_logprobs=others)
            choice.logprobs = SimpleNamespace(content=[place])
        return SimpleNamespace(choices=[choice]), None

    def load_model(self) -> "_Model":
        """Nothing to load."""
        return self

    def get_model_name(self) -> str:
        """For DeepEval's own notes."""
        return "judge"

    def generate(self, prompt: str) -> str:
        """Never called: DeepEval asks for raw responses."""
        raise NotImplementedError

    async def a_generate(self, prompt: str) -> str:
        """Never called either."""
        raise NotImplementedError


def _steps(metric: str, fence: str) -> list[str]:
    shown = "The Input is the post, the Actual Output is its summary."
    if not CRITERIA[metric].reads_post:
        shown = "The Actual Output is a summary of a post."
    return [f"{shown} {warning(fence)}", *CRITERIA[metric].steps]


@cache
def _rubric(metric: str) -> list[Rubric]:
    return [
        Rubric(score_range=scores, expected_outcome=meaning)
        for scores, meaning in CRITERIA[metric].bands()
    ]


@cache
def _instructions(metric: str) -> str:
    parts: list[Any] = [version("deepeval"), _steps(metric, "FENCE"), CRITERIA[metric].bands()]
    return json.dumps(parts)
