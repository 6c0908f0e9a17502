"""Wordy summaries: right in content, wide in length, and open to stopping early."""

import random
import statistics
from itertools import pairwise

import pytest

from tersely.data.facts import coverage, faithfulness
from tersely.data.generated import GeneratedConfig
from tersely.data.story.verbose import LEVELS, REMARKS, Level
from tersely.data.wordy import wordy_summary
from tersely.records import Example

Pairs = list[tuple[Example, str]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """600 examples with a wordy summary each."""
    examples = GeneratedConfig(train=600, validation=1, test=1).build().train
    return [
        (example, wordy_summary(example, random.Random(i))) for i, example in enumerate(examples)
    ]


def level_of(summary: str) -> Level:
    """The one level that has an opening of this summary."""
    (level,) = (level for level in LEVELS if summary.startswith(level.openings))
    return level


def words(text: str) -> int:
    return len(text.split())


def test_every_fact_and_nothing_false(pairs: Pairs) -> None:
    """Coverage and faithfulness of every wordy summary are exactly 1."""
    assert {1.0} == {coverage(text, example.facts) for example, text in pairs}
    assert {1.0} == {faithfulness(text, example.facts) for example, text in pairs}


def test_all_facts_come_early(pairs: Pairs) -> None:
    """The first 62 words state all six facts, at every level."""
    for example, text in pairs:
        assert 1.0 == coverage(" ".join(text.split()[:62]), example.facts), text


def test_lengths_are_widely_spread(pairs: Pairs) -> None:
    """20 to 170 words with a mean near 75 and a standard deviation of 30 to 42."""
    lengths = [words(text) for _, text in pairs]
    assert min(lengths) >= 20
    assert max(lengths) <= 172
    assert 66 <= statistics.mean(lengths) <= 84
    assert 30 <= statistics.pstdev(lengths) <= 42


def test_the_opening_tells_the_level_and_the_level_the_length(pairs: Pairs) -> None:
    """Each summary opens like one level only, each level is used, each wordier than the last."""
    lengths: dict[str, list[int]] = {level.name: [] for level in LEVELS}
    for _, text in pairs:
        lengths[level_of(text).name].append(words(text))
    assert min(len(found) for found in lengths.values()) >= len(pairs) * 0.08
    means = [statistics.mean(found) for found in lengths.values()]
    assert all(wordier > terser + 10 for terser, wordier in pairwise(means))


def test_one_post_is_summarised_at_many_lengths(pairs: Pairs) -> None:
    """Forty draws for one post reach three of the five levels: groups of rollouts will differ."""
    example = pairs[0][0]
    found = {level_of(wordy_summary(example, random.Random(i))).name for i in range(40)}
    assert len(found) >= 3


def test_genre_and_post_length_lean_on_the_level(pairs: Pairs) -> None:
    """Dating runs wordier than money; the longer half of the posts than the shorter."""
    by_genre = {
        name: statistics.mean(words(text) for example, text in pairs if example.domain == name)
        for name in ("dating", "money")
    }
    assert by_genre["dating"] > by_genre["money"] + 10
    ordered = sorted(pairs, key=lambda pair: words(pair[0].post))
    half = len(pairs) // 2
    shorter, longer = (
        statistics.mean(words(text) for _, text in part)
        for part in (ordered[:half], ordered[half:])
    )
    assert longer > shorter


def test_comments_can_be_left_off_at_any_point(pairs: Pairs) -> None:
    """Cut before any remark, the summary is whole: it ends a sentence and has every fact."""
    cuts = 0
    for example, text in pairs:
        for remark in REMARKS:
            head, found, _ = text.partition(f" {remark}")
            if found:
                cuts += 1
                assert head[-1] in ".?"
                assert 1.0 == coverage(head, example.facts)
    assert cuts > 300


def test_the_same_generator_gives_the_same_summary(pairs: Pairs) -> None:
    """The draw depends on the example and the generator only."""
    example, text = pairs[7]
    assert text == wordy_summary(example, random.Random(7))
