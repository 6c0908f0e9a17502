"""Texts to score: real ones where they are on this machine, messy ones everywhere."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from tersely.records import Example, Group, Prompt, Rollout

Pair = tuple[str, str]
REDDIT = Path(__file__).parents[2].parent / "shared" / "data" / "reddit_tifu"

# What breaks tokenizers: marks inside and around words and numbers, entities, contractions, quotes,
# odd spaces, letters whose lower case is another length, other scripts.
PIECES = [
    *" .,-'\"&;:!?()[]{}<>/\\|~^_`@#$%*+=0123456789\n\t\r\x0b\x85\u00a0\u2028ab",
    *("the", "cat", "cats", "running", "runs", "flies", "generalization", "automobile", "mp3"),
    *("&amp;", "&lt;", "&quot;", "&amp;lt;", "<skipped>", "-\n", "1,000.5", "2-3", "x-ray"),
    *("don't", "can't", "gonna", "''", "``", "...", "\u2014", "\u2019s"),
    *("\u0130stanbul", "stra\u00dfe", "na\u00efve", "\u65e5\u672c", "\U0001f600", "\ufb01ne"),
]


def _reddit_pairs() -> Iterator[Pair]:
    rows = [
        json.loads(line)
        for split in ("validation", "test")
        for line in (REDDIT / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for row, other in pairwise(rows):
        reference = row["completion"]
        yield other["completion"], reference
        yield row["prompt"].split(".")[0] + ".", reference
        yield " ".join(row["prompt"].split()[:64]), reference
        yield " ".join(row["prompt"].split()[-30:]), reference


@pytest.fixture(scope="session")
def real_pairs() -> list[Pair]:
    """396 pairs: a TL;DR, and another post's, or the first sentence, first or last words."""
    if not REDDIT.is_dir():
        pytest.skip("the real posts (shared/data/reddit_tifu) are not beside this checkout")
    return list(_reddit_pairs())


@pytest.fixture(scope="session")
def messy_pairs() -> list[Pair]:
    """200 pairs of random pieces, half of them alike, with empty texts among them."""
    draw = random.Random(7)

    def text() -> str:
        pieces = draw.choices(PIECES, k=draw.randint(0, 25))
        return "".join(piece + draw.choice(["", " "]) for piece in pieces)

    pairs = [("", ""), ("", "a word"), ("a word", ""), (" ", ".")]
    while len(pairs) < 200:
        summary = text()
        middle = len(summary) // 2
        alike = summary[:middle] + text()[:10] + summary[middle:]
        pairs.append((summary, draw.choice([text(), alike])))
    return pairs


@pytest.fixture(scope="session")
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own, so that they write nothing into the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def make_group() -> Callable[..., Group]:
    """Build a group from the texts of its rollouts, which have one length, and a post."""

    def make(
        texts: Sequence[str],
        references: Sequence[str] = ("a word",),
        length: int = 3,
        post: str = "a post",
    ) -> Group:
        example = Example(id="post-7", post=post, references=tuple(references))
        rollouts = tuple(
            Rollout((5,) * length, (-1.0,) * length, "length", policy_version=0, text=text)
            for text in texts
        )
        return Group(Prompt(example, token_ids=(1, 2)), rollouts)

    return make
