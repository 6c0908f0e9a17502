"""What a judge will ask and what that may cost, told from its own prompts."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NoReturn

from tersely.errors import TerselyError
from tersely.evaluation.judges.asking import AskingJudge, Question
from tersely.evaluation.judges.budget import Budget
from tersely.evaluation.judges.config import EndpointConfig, JudgeConfig
from tersely.evaluation.judges.endpoint import Endpoint, Unanswered
from tersely.evaluation.judges.verdicts import Judged

BYTES_A_TOKEN = 4
"""Of English, as most tokenizers of judges have it; the judge's own is not asked."""


@dataclass(frozen=True)
class Asking:
    """What judging the test split of one job takes, where no verdict is known before and every
    answer can be read: one that cannot is asked for again, up to `judge.attempts` times."""

    name: str
    """Of the judge."""
    calls: int
    prompt_tokens: int
    """About."""
    answer_tokens: int
    """At most."""
    prompts_usd: float | None
    """None where the price is not known."""
    most_usd: float | None
    """Prompts and the longest answers, held to the budget."""
    at_a_time: int
    """Requests."""


def problem_with(config: JudgeConfig) -> str:
    """Why this judge cannot be asked from here; empty where nothing is known against it."""
    try:
        config.build()
    except TerselyError as error:
        return str(error)
    return ""


def asking_of(config: JudgeConfig, posts: Sequence[Judged], summaries: int) -> Asking | None:
    """What it takes to have `summaries` judged, told from a few `posts`; None for a judge that
    asks nobody, and for one that cannot be made here."""
    if not isinstance(config, EndpointConfig):
        return None
    try:
        # The key is not needed to see what would be asked.
        judge = replace(config, api_key_env=None).build()
    except TerselyError:
        return None
    assert isinstance(judge, AskingJudge)
    calls = config.rounds * summaries * len(judge.together)
    return priced(config, judge.name, calls, fmean(map(_bytes, _prompts(judge, config, posts))))


def priced(config: EndpointConfig, name: str, calls: int, prompt_bytes: float) -> Asking:
    """What `calls` requests of so many bytes each cost, held to the budget of `config`."""
    if config.max_calls is not None:
        calls = min(calls, config.max_calls)
    prompt_tokens = round(calls * prompt_bytes / BYTES_A_TOKEN)
    answer_tokens = calls * config.max_tokens
    asking = Asking(name, calls, prompt_tokens, answer_tokens, None, None, config.max_concurrent)
    price_in, price_out = config.usd_per_million_in, config.usd_per_million_out
    if price_in is None or price_out is None:
        return asking
    prompts_usd = prompt_tokens * price_in / 1e6
    most_usd = prompts_usd + answer_tokens * price_out / 1e6
    budget = most_usd if config.max_usd is None else config.max_usd
    return replace(asking, prompts_usd=min(prompts_usd, budget), most_usd=min(most_usd, budget))


def _prompts(judge: AskingJudge, config: EndpointConfig, posts: Sequence[Judged]) -> Sequence[str]:
    """What the judge would send for each of `posts`."""
    heard = _Listening(config)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # DeepEval leaves a folder
        for post in posts:
            for metrics in judge.together:
                asyncio.run(_ask(judge, heard, Question(post, metrics, round=0)))
    return heard.prompts


async def _ask(judge: AskingJudge, heard: "_Listening", question: Question) -> None:
    try:
        await judge.ask(heard, question, question.seed(0))
    except Unanswered:
        return


class _Listening(Endpoint):
    """Hears what would be asked, and answers nothing."""

    def __init__(self, config: EndpointConfig) -> None:
        super().__init__(config, None, Budget(config))
        self.prompts: list[str] = []

    async def complete(
        self, prompt: str, schema: dict[str, Any], seed: int, top_logprobs: int = 0
    ) -> NoReturn:
        self.prompts.append(prompt)
        raise Unanswered("nobody is asked in a dry run")


def _bytes(prompt: str) -> int:
    return len(prompt.encode())
