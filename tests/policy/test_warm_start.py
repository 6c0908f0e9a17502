"""The embedded model: what ships, how it starts, and the recipe that made it."""

import json
from pathlib import Path
from statistics import fmean, pstdev

import mlx.core as mx
import pytest
from transformers import AutoConfig, AutoTokenizer

from tersely.data.facts import coverage
from tersely.data.generated import GeneratedConfig
from tersely.data.prompts import PlainPrompt, make_prompts
from tersely.evaluation.summaries import Summary, greedy_summaries
from tersely.policy.load import TINY, load_policy
from tersely.policy.warm_start import ARCHITECTURE, Recipe, make


@pytest.fixture(scope="module")
def greedy() -> list[Summary]:
    """What the embedded model writes for the first 40 test posts, before any training."""
    policy = load_policy(TINY)
    posts = GeneratedConfig(train=1).build().test[:40]
    prompts = make_prompts(posts, policy.tokenizer, PlainPrompt(), "test")
    return greedy_summaries(policy.model, policy.tokenizer, prompts, max_tokens=192)


def test_the_embedded_model_is_small() -> None:
    """About a million parameters, at most 4 MB on disk, heads of 32."""
    weights = mx.load(str(TINY / "model.safetensors"))
    assert 0.9e6 < sum(array.size for array in weights.values()) < 1.2e6
    assert sum(file.stat().st_size for file in TINY.iterdir()) < 4e6
    assert 32 == ARCHITECTURE["hidden_size"] // ARCHITECTURE["num_attention_heads"]


def test_it_begins_too_long_and_uneven(greedy: list[Summary]) -> None:
    """As a small instruct model does: well above 64 tokens, spread, and with room below."""
    lengths = [summary.length for summary in greedy]
    assert 72 < fmean(lengths) < 110
    assert pstdev(lengths) > 12
    assert min(lengths) < 64 < max(lengths)


def test_its_summaries_are_recognisable(greedy: list[Summary]) -> None:
    """They end by themselves, and state about half of the facts of a post never seen."""
    assert all(summary.stopped for summary in greedy)
    assert fmean(coverage(s.text, s.example.facts) for s in greedy) > 0.4


def test_its_tokenizer_encodes_any_text() -> None:
    """Byte-level: what goes in comes out."""
    tokenizer = load_policy(TINY).tokenizer
    for text in ("naïve café", "日本語", "🦛 in the chimney", "\x00\x07 tab\t", "שלום"):
        assert text == tokenizer.decode(tokenizer.encode_completion(text))


def test_the_recipe_makes_such_a_checkpoint(tmp_path: Path) -> None:
    """From nothing, in the Hub's layout, and the same twice; two updates are enough to see."""
    recipe = Recipe(
        posts=60, brief_updates=1, wordy_updates=1, posts_per_update=2, warmup_updates=1
    )
    for name in ("one", "two"):
        make(tmp_path / name, recipe)
    files = sorted(path.name for path in TINY.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "one").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    shipped = json.loads((TINY / "config.json").read_text())
    assert shipped == json.loads((tmp_path / "one" / "config.json").read_text())
    assert "qwen2" == AutoConfig.from_pretrained(tmp_path / "one").model_type
    assert len(AutoTokenizer.from_pretrained(tmp_path / "one")) <= shipped["vocab_size"]
