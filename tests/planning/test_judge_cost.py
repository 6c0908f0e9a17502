"""What a judge will ask, told from its own prompts."""

from tersely.evaluation.judges.config import FactsConfig, PanelConfig
from tersely.evaluation.judges.panel import PanelJudge
from tersely.evaluation.judges.verdicts import Judged
from tersely.planning.judge_cost import asking_of, priced, problem_with

JUDGE = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": None}
PRICES = {"usd_per_million_in": 2.0, "usd_per_million_out": 10.0}


def test_calls_tokens_and_dollars() -> None:
    """1,000 requests of 2,000 bytes are 500,000 tokens, $1 at $2 a million. Answers of at most
    400 tokens are 400,000, $4 at $10 a million."""
    config = PanelConfig(**JUDGE, **PRICES, max_tokens=400, max_concurrent=7)
    asking = priced(config, "panel m", 1000, 2000.0)
    assert (1000, 500_000, 400_000) == (asking.calls, asking.prompt_tokens, asking.answer_tokens)
    assert (1.0, 5.0, 7) == (asking.prompts_usd, asking.most_usd, asking.at_a_time)


def test_a_budget_bounds_both() -> None:
    """100 requests are a tenth of that, $0.10 and $0.40; the other budget is in dollars."""
    config = PanelConfig(**JUDGE, **PRICES, max_tokens=400, max_calls=100)
    asking = priced(config, "panel m", 1000, 2000.0)
    assert (100, 0.1, 0.5) == (asking.calls, asking.prompts_usd, asking.most_usd)
    asking = priced(
        PanelConfig(**JUDGE, **PRICES, max_tokens=400, max_usd=0.75), "panel m", 1000, 2000.0
    )
    assert (0.75, 0.75) == (asking.prompts_usd, asking.most_usd)


def test_without_a_price_there_are_no_dollars() -> None:
    asking = priced(PanelConfig(**JUDGE), "panel m", 10, 400.0)
    assert (None, None, 1000) == (asking.prompts_usd, asking.most_usd, asking.prompt_tokens)


def test_prompts_are_those_that_the_judge_would_send() -> None:
    """One a round for each summary; a longer post makes a longer prompt, byte by byte. Nobody
    answers at that address, and nobody is asked."""
    config = PanelConfig(**JUDGE, rounds=5)
    short, long = (Judged("1", "a post " * times, "a summary") for times in (10, 30))
    assert isinstance(config.build(), PanelJudge)
    asked = [asking_of(config, [post], summaries=20) for post in (short, long)]
    assert [100, 100] == [each.calls for each in asked if each]
    tokens = [each.prompt_tokens for each in asked if each]
    # 20 more words of 7 bytes in each of 100 prompts, at 4 bytes a token.
    assert 20 * 7 * 100 / 4 == tokens[1] - tokens[0]


def test_a_judge_that_asks_nobody_costs_nothing() -> None:
    assert asking_of(FactsConfig(), [Judged("1", "a post", "a summary")], 20) is None


def test_a_missing_key_is_a_problem_and_hides_no_cost(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    config = PanelConfig(**{**JUDGE, "api_key_env": "NO_SUCH_KEY"})
    assert "NO_SUCH_KEY" in problem_with(config)
    asking = asking_of(config, [Judged("1", "a post", "a summary")], 20)
    assert asking is not None and 100 == asking.calls
    assert "" == problem_with(FactsConfig())
