"""What judges that ask an endpoint share: which requests, in which order, and what becomes of them.

A request is known from the cache, read, asked for again, or missing with a reason; it is never a
score that nobody gave.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tersely.errors import JudgeError
from tersely.evaluation.judges.budget import Budget, BudgetSpent
from tersely.evaluation.judges.cache import Cache, Score, cache_key
from tersely.evaluation.judges.config import EndpointConfig
from tersely.evaluation.judges.endpoint import Endpoint, Unanswered
from tersely.evaluation.judges.fence import as_text
from tersely.evaluation.judges.reading import Unreadable
from tersely.evaluation.judges.verdicts import BUDGET, METRICS, Judged, Verdict, Verdicts
from tersely.progress import Progress

log = logging.getLogger(__name__)

SEEDS_PER_ROUND = 1000


@dataclass(frozen=True)
class Question:
    """One request: some metrics of one summary, in one round."""

    item: Judged
    metrics: tuple[str, ...]
    round: int

    def seed(self, attempt: int) -> int:
        """Another for each round and each attempt."""
        return self.round * SEEDS_PER_ROUND + attempt


@dataclass(frozen=True)
class Answer:
    """What became of a question: scores, or the reason why there are none."""

    scores: dict[str, Score]
    missing: str = ""
    cached: bool = False


class AskingJudge(ABC):
    """Asks an endpoint; a subclass says what and reads the reply."""

    metrics = METRICS
    together: tuple[tuple[str, ...], ...]
    """The metrics that each request asks for."""

    def __init__(self, config: EndpointConfig, key: str | None, kind: str) -> None:
        self._config, self._key = config, key
        self.name = f"{kind} {config.model}"

    @abstractmethod
    def instructions(self, metrics: tuple[str, ...]) -> str:
        """All that a request for `metrics` says, apart from post and summary."""

    @abstractmethod
    async def ask(self, endpoint: Endpoint, question: Question, seed: int) -> dict[str, Score]:
        """Ask once. Raises `Unreadable`, `Unanswered`, `BudgetSpent` and `JudgeError`."""

    def judge(self, items: Sequence[Judged]) -> Verdicts:
        """Verdicts on all of `items`, round after round, so that a budget ends in whole rounds.

        Runs an event loop of its own. Raises `JudgeError` if the endpoint cannot be asked or too
        many verdicts are missing.
        """
        if len({item.id for item in items}) < len(items):
            raise ValueError("two summaries to judge have the same id")
        questions = list(self._questions(items))
        with Cache(Path(self._config.cache_folder)) as cache:
            evaluation = _Evaluation(self, self._config, self._key, questions, cache)
            if evaluation.open:
                asyncio.run(evaluation.ask_all())
        verdicts = tuple(
            verdict
            for question in questions
            for verdict in self._verdicts(question, evaluation.answers[question])
        )
        usage = evaluation.budget.usage(cached=len(questions) - len(evaluation.open))
        judged = Verdicts(verdicts, self._config.threshold, usage)
        self._report(judged, len(items))
        self._check(judged)
        return judged

    def key_of(self, question: Question) -> str:
        """What the cache knows the question by."""
        config = self._config
        return cache_key(
            judge=self.name,
            base_url=config.base_url,
            temperature=config.temperature,
            instructions=self.instructions(question.metrics),
            # As they are sent: most are as they stand in the data.
            post=as_text(question.item.post),
            summary=as_text(question.item.summary),
            round=question.round,
        )

    def _questions(self, items: Sequence[Judged]) -> Iterator[Question]:
        for round_ in range(self._config.rounds):
            for item in items:
                for metrics in self.together:
                    yield Question(item, metrics, round_)

    def _verdicts(self, question: Question, answer: Answer) -> Iterator[Verdict]:
        for metric in question.metrics:
            score, reason = answer.scores.get(metric, (None, answer.missing))
            yield Verdict(
                question.item.id,
                metric,
                question.round,
                score,
                reason,
                self.name,
                answer.cached,
            )

    def _report(self, judged: Verdicts, summaries: int) -> None:
        usage = judged.usage
        cost = "" if usage.usd is None else f", ${usage.usd:.4f}"
        log.info(
            "%s judged %d summaries: %d verdicts, %d of them missing; %d requests (and %d from "
            "the cache), %d tokens in, %d out%s",
            self.name,
            summaries,
            len(judged.verdicts),
            judged.missing,
            usage.calls,
            usage.cached,
            usage.prompt_tokens,
            usage.completion_tokens,
            cost,
        )
        if judged.unpaid:
            log.warning(
                "the budget of the judge (judge.max_calls=%s, judge.max_usd=%s) is spent: %d of "
                "%d verdicts are without a score; judging again asks for these alone",
                self._config.max_calls,
                self._config.max_usd,
                judged.unpaid,
                len(judged.verdicts),
            )

    def _check(self, judged: Verdicts) -> None:
        asked = [verdict for verdict in judged.verdicts if verdict.reason != BUDGET]
        reasons = Counter(verdict.reason for verdict in asked if verdict.score is None)
        if reasons.total() > self._config.max_missing_share * len(asked):
            raise too_many_missing(self.name, self._config, reasons, len(asked))


class _Evaluation:
    """One call of `AskingJudge.judge`."""

    def __init__(
        self,
        judge: AskingJudge,
        config: EndpointConfig,
        key: str | None,
        questions: Sequence[Question],
        cache: Cache,
    ) -> None:
        self._judge, self._config, self._key, self._cache = judge, config, key, cache
        self._keys = {question: judge.key_of(question) for question in questions}
        self.answers: dict[Question, Answer] = {}
        for question, cached_under in self._keys.items():
            scores = cache.get(cached_under, question.metrics)
            if scores is not None:
                self.answers[question] = Answer(scores, cached=True)
        self.open = [question for question in questions if question not in self.answers]
        self.budget = Budget(config)
        self._total = sum(len(question.metrics) for question in questions)
        self._missing: Counter[str] = Counter()

    async def ask_all(self) -> None:
        """Answer every open question."""
        pending = iter(self.open)
        with Progress(f"judging by {self._judge.name}", len(self.open), "request") as progress:
            async with Endpoint(self._config, self._key, self.budget) as endpoint:
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(min(self._config.max_concurrent, len(self.open))):
                            group.create_task(self._work(pending, endpoint, progress))
                except* JudgeError as errors:
                    error = errors.exceptions[0]
                    while isinstance(error, BaseExceptionGroup):
                        error = error.exceptions[0]
                    raise error from None

    async def _work(
        self, pending: Iterator[Question], endpoint: Endpoint, progress: Progress
    ) -> None:
        done = len(self._keys) - len(self.open)
        for question in pending:
            answer = await self._answer(question, endpoint)
            self.answers[question] = answer
            if answer.scores:
                self._cache.put(self._keys[question], answer.scores)
            elif answer.missing != BUDGET:
                self._count_missing(question, answer)
            progress.at(len(self.answers) - done, **self._said())

    async def _answer(self, question: Question, endpoint: Endpoint) -> Answer:
        reason = ""
        for attempt in range(self._config.attempts):
            try:
                scores = await self._judge.ask(endpoint, question, question.seed(attempt))
            except Unreadable as unreadable:
                reason = endpoint.without_key(str(unreadable))
            except Unanswered as unanswered:
                return Answer({}, str(unanswered))
            except BudgetSpent:
                # What could not be read before stays missing for that, and counts as such.
                ended = f"{reason}, {attempt} times; then the budget was spent"
                return Answer({}, ended if reason else BUDGET)
            else:
                if all(0 <= score <= 1 for score, _ in scores.values()):
                    return Answer(
                        {
                            metric: Score(score, endpoint.without_key(why))
                            for metric, (score, why) in scores.items()
                        }
                    )
                reason = "the score is outside of 0 to 1"
        return Answer({}, f"{reason}, {self._config.attempts} times")

    def _count_missing(self, question: Question, answer: Answer) -> None:
        """Stop as soon as there are too many: the rest would be paid for in vain."""
        self._missing[answer.missing] += len(question.metrics)
        if self._missing.total() > self._config.max_missing_share * self._total:
            raise too_many_missing(self._judge.name, self._config, self._missing, self._total)

    def _said(self) -> dict[str, str]:
        usd = self.budget.usd
        said = {} if usd is None else {"cost": f"${usd:.4f}"}
        if self._missing:
            said["missing"] = str(self._missing.total())
        return said


def too_many_missing(
    name: str, config: EndpointConfig, reasons: Counter[str], total: int
) -> JudgeError:
    """The error for that, with the most frequent reason."""
    reason, count = reasons.most_common(1)[0]
    return JudgeError(
        f"{name} gave no verdict in {reasons.total()} cases of {total}, more than "
        f"judge.max_missing_share={config.max_missing_share:g} allows; most often ({count} times): "
        f"{reason}. What was judged is kept in {config.cache_folder} and not asked for again"
    )
