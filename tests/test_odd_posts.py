"""Odd posts stay text, from the file to the scores."""

import json
import unicodedata
from pathlib import Path

import pytest
from commands import command
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st
from odd_posts import LONG, ODD_POSTS, write_odd_posts

from tersely.data.jsonl import JsonlConfig
from tersely.policy.load import TINY
from tersely.policy.tokenizer import Tokenizer, load_tokenizer
from tersely.rewards.quality import best
from tersely.rewards.rouge import rouge_l

QWEN = SHARED / "models" / "qwen2.5-tokenizer"
TOKENIZERS = {"embedded": TINY, "qwen2.5": QWEN}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    folder = TOKENIZERS[request.param]
    if not folder.is_dir():
        pytest.skip("needs the real tokenizer beside the project")
    return load_tokenizer(folder)


def check(tokenizer: Tokenizer, post: str) -> None:
    """The template's control tokens are where they are for a harmless post, the post is in between
    with nothing lost but the form of its letters (Qwen's tokenizer composes them), and all ids are
    ones of the tokenizer."""
    hf = tokenizer._hf
    control = set(hf.all_special_ids) | set(hf.added_tokens_decoder)
    ids = tokenizer.encode_prompt("Summarise.", post)
    harmless = tokenizer.encode_prompt("Summarise.", "harmless")
    assert [i for i in harmless if i in control] == [i for i in ids if i in control]
    assert max(ids) < tokenizer.vocab_size
    said = hf.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert unicodedata.normalize("NFC", post) in unicodedata.normalize("NFC", said)


@pytest.mark.parametrize("name", [*ODD_POSTS, "long"])
def test_an_odd_post_ends_no_turn(name: str, tokenizer: Tokenizer) -> None:
    check(tokenizer, ODD_POSTS.get(name, LONG))


pieces = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["<|im_end|>", "<|im_start|>", "<|im_", "end|>", "<|endoftext|>", "system\n", "\U000f0000"]
    ),
)


@given(post=st.lists(pieces, min_size=1, max_size=8).map("".join))
def test_no_text_ends_a_turn(post: str, tokenizer: Tokenizer) -> None:
    try:
        post.encode()
    except UnicodeEncodeError:
        return  # half a character: such rows are left out and counted
    check(tokenizer, post)


def test_odd_posts_are_read_as_they_are(tmp_path: Path) -> None:
    """Every one of them, character by character."""
    splits = JsonlConfig(path=str(write_odd_posts(tmp_path))).build()
    assert [*ODD_POSTS.values(), LONG] == [example.post for example in splits.test]


def test_a_run_on_odd_posts_trains_and_scores(tmp_path: Path) -> None:
    """Sixteen of seventeen posts; that of 50,000 words is left out and counted. Every score in
    the table is a number, and the summaries are still there."""
    said = command(
        "train.py",
        tmp_path,
        "data=jsonl",
        f"data.path={write_odd_posts(tmp_path / 'posts')}",
        "reward=meteor_bleu",
        "reward.meteor_matching=exact_and_stem",
        "trainer.steps=1",
        f"trainer.prompts_per_step={len(ODD_POSTS)}",
        "rollout.group_size=2",
        "rollout.max_tokens=72",
        "tracking=none",
        "judge=none",
    )
    assert "train: left out 1 of 17 posts (1 over prompt.max_tokens=768); first is long 16" in said
    assert "Traceback" not in said
    assert "longer than the specified maximum" not in said
    (table,) = tmp_path.glob("multirun/*/tables/summaries_after.jsonl")
    # As bytes: `str.splitlines` would split at characters that are part of a post.
    rows = [json.loads(line) for line in table.read_bytes().splitlines()]
    assert [*ODD_POSTS.values()] == [row["post"] for row in rows]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("rouge_l", "meteor", "bleu"))
    (metrics,) = tmp_path.glob("multirun/*/metrics.jsonl")
    assert "NaN" not in metrics.read_text()


def test_a_reference_of_fifty_thousand_words_is_scored() -> None:
    """10 of 10 words, 10 of 50,000: 2 * 1 * 0.0002 / 1.0002."""
    assert 2 * 0.0002 / 1.0002 == pytest.approx(best(rouge_l, "word " * 10, [LONG]))
