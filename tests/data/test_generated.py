"""The embedded corpus: sizes, lengths, vocabulary, facts, and the same bytes everywhere."""

import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import tersely
from tersely.data.facts import coverage, faithfulness
from tersely.data.generated import GeneratedConfig
from tersely.data.splits import DataConfig, Splits
from tersely.data.story import GENRES, SLOTS, all_values, frames, reference, verbose
from tersely.data.story.asides import BEFORE, SINCE
from tersely.data.story.remarks import GOODBYES, HELLOS, REMARKS
from tersely.data.story.times import WHEN
from tersely.data.story.words import WORDS
from tersely.errors import ConfigError
from tersely.records import Example, Fact

FINGERPRINT = "92f85c37f0cd8a21"
TALK = (*BEFORE, *SINCE, *HELLOS, *REMARKS, *GOODBYES, *(t for g in GENRES for t in g.talk))
FRAMES = (
    *(frame for part in frames.FRAMES.values() for frame in part),
    *frames.DIRECT,
    *frames.DIRECT_FIRST,
    *frames.INDIRECT,
    *frames.INDIRECT_FIRST,
    *frames.ECHOES,
    *reference._TEMPLATES,
    reference._TERSEST,
    *(frame for level in verbose.LEVELS for frame in level.frames),
    *(opening for level in verbose.LEVELS for opening in level.openings),
    *verbose.RESTATED,
    *verbose.REMARKS,
)
NO_FACT = Fact("none", ("no such form",))


@pytest.fixture(scope="module")
def splits() -> Splits:
    """The corpus of the default configuration."""
    return GeneratedConfig().build()


@pytest.fixture(scope="module")
def examples(splits: Splits) -> tuple[Example, ...]:
    """All 2,400 examples."""
    return splits.train + splits.validation + splits.test


def stated(text: str) -> float:
    """Of one value that the text may state: 0.0 for none at all (see faithfulness)."""
    return faithfulness(text, all_values())


def test_sizes_and_ids(splits: Splits) -> None:
    """2,000 / 200 / 200 examples with ids that say where they belong."""
    assert (2000, 200, 200) == (len(splits.train), len(splits.validation), len(splits.test))
    assert "generated-train-0001" == splits.train[0].id
    assert "generated-validation-0200" == splits.validation[-1].id
    assert "generated-test-0200" == splits.test[-1].id


def test_every_genre_is_there_and_has_choices(examples: tuple[Example, ...]) -> None:
    """Eight genres, none rare, each with at least 15 people, 12 events and 12 endings."""
    counts = Counter(example.domain for example in examples)
    assert {genre.name for genre in GENRES} == set(counts)
    assert 8 == len(counts)
    assert min(counts.values()) > 200
    for genre in GENRES:
        assert len(genre.who) >= 15
        assert min(map(len, (genre.what, genre.where, genre.ending, genre.ask))) >= 12
    assert len(WHEN) >= 40


def test_posts_are_60_to_260_words_long_and_spread(examples: tuple[Example, ...]) -> None:
    """Every stretch of 40 words between 60 and 220 holds a tenth of the posts or more."""
    lengths = [len(example.post.split()) for example in examples]
    assert 60 <= min(lengths)
    assert max(lengths) <= 260
    assert 135 <= statistics.mean(lengths) <= 165
    bins = Counter((length - 60) // 40 for length in lengths)
    assert all(bins[i] > len(lengths) / 10 for i in range(4))


def test_references_are_one_or_two_sentences_of_15_to_30_words(
    examples: tuple[Example, ...],
) -> None:
    """One lower-case reference each, with an end mark after one or two sentences."""
    for example in examples:
        (text,) = example.references
        assert 15 <= len(text.split()) <= 30, text
        assert text == text.lower()
        assert 1 <= len(re.findall(r"[.?](?: |$)", text)) <= 2, text
        assert text[-1] in ".?"


def test_vocabulary(splits: Splits) -> None:
    """The training posts have 1,500 to 2,600 distinct words."""
    found = {word for e in splits.train for word in re.findall(r"\w+", e.post.lower())}
    assert 1500 <= len(found) <= 2600


def test_no_post_and_no_set_of_facts_comes_twice(examples: tuple[Example, ...]) -> None:
    """Within a split and across splits."""
    assert len(examples) == len({example.id for example in examples})
    assert len(examples) == len({example.post for example in examples})
    assert len(examples) == len({example.facts for example in examples})


def test_facts_fill_all_slots_in_order(examples: tuple[Example, ...]) -> None:
    """Who, what, where, when, ending, ask."""
    assert {SLOTS} == {tuple(fact.slot for fact in example.facts) for example in examples}


def test_posts_and_references_state_their_facts_and_no_others(
    examples: tuple[Example, ...],
) -> None:
    """Coverage and faithfulness are exactly 1 for both."""
    for example in examples:
        for text in (example.post, example.references[0]):
            assert 1.0 == coverage(text, example.facts), text
            assert 1.0 == faithfulness(text, example.facts), text


def test_authors_differ_in_capitals(examples: tuple[Example, ...]) -> None:
    """Some write in lower case, some as in a book; nobody leaves a slot unfilled."""
    lower = [example for example in examples if example.post == example.post.lower()]
    assert 0.5 < len(lower) / len(examples) < 0.7
    assert not any("{" in example.post or "  " in example.post for example in examples)
    written = [example.post for example in examples if example.post != example.post.lower()]
    assert all(text[0].isupper() and not re.search(r"\bi\b", text) for text in written)


def test_a_before_a_vowel_is_an(examples: tuple[Example, ...]) -> None:
    """The words that fill the small talk decide between `a` and `an`."""
    for example in examples:
        assert not re.search(r"\ba [aeio]", example.post.lower()), example.post
        assert not re.search(r"\ban (?!hour)[^aeiou]", example.post.lower()), example.post


def test_no_form_is_contained_in_a_form_of_another_value() -> None:
    """Each form states its own value and no other, so a form in a text is never ambiguous."""
    forms = [(form, fact) for fact in all_values() for form in fact.forms]
    assert len(forms) == len({form for form, _ in forms})
    padded = [(f" {form} ", fact) for form, fact in forms]
    for inner, fact in padded:
        assert all(fact == other for outer, other in padded if inner in outer), inner


def test_forms_are_short_lower_case_and_plain() -> None:
    """Two to eight words of letters, so that they can be matched word by word."""
    for fact in all_values():
        assert 1 <= len(fact.forms) <= 3
        for form in fact.forms:
            assert re.fullmatch(r"[a-z]+(?: [a-z]+){1,7}", form), form


def test_small_talk_states_no_fact() -> None:
    """At least 150 sentences, each with every word that can fill it, contain no form."""
    assert len(TALK) == len(set(TALK))
    assert len(TALK) >= 150
    for text in TALK:
        for name in dict.fromkeys(re.findall(r"\{(\w+)\}", text)):
            for word in WORDS[name]:
                filled = re.sub(r"\{\w+\}", "thing", text.replace(f"{{{name}}}", word))
                assert 0.0 == stated(filled), filled
        assert 0.0 == stated(text)


def slots_of(frame: str) -> Iterable[str]:
    return dict.fromkeys(re.findall(r"\{(\w+)\}", frame))


def test_frames_state_what_they_are_filled_with_and_nothing_else() -> None:
    """Whatever the value in a slot, its frame adds no form, not even across the seam."""
    by_slot = {slot: [fact for fact in all_values() if fact.slot == slot] for slot in SLOTS}
    for frame in FRAMES:
        assert 0.0 == stated(re.sub(r"\{\w+\}", "thing", frame)), frame
        for slot in slots_of(frame):
            for fact in by_slot["ask" if slot in ("direct", "indirect") else slot]:
                for form in fact.forms:
                    text = re.sub(r"\{\w+\}", "thing", frame.replace(f"{{{slot}}}", form))
                    assert 1.0 == faithfulness(text, (fact,)), text


def test_the_tersest_reference_fits_whatever_the_facts() -> None:
    """The sum of the longest shortest forms stays within 30 words, in every genre."""
    for genre in GENRES:
        choices = (genre.who, genre.what, genre.where, WHEN, genre.ending, genre.ask)
        worst = [
            max(values, key=lambda f: min(len(x.split()) for x in f.forms)) for values in choices
        ]
        text = reference._TERSEST.format_map(reference.shortest(worst))
        assert len(text.split()) <= reference.LONGEST, text


def test_the_fingerprint_is_the_same_everywhere(splits: Splits) -> None:
    """A hard-coded fingerprint, here and in a process with another hash seed."""
    assert FINGERPRINT == splits.fingerprint()
    code = (
        "from tersely.data.generated import GeneratedConfig as G; print(G().build().fingerprint())"
    )
    source = str(Path(tersely.__file__).parents[1])
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": source}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (FINGERPRINT, 0) == (run.stdout.strip(), run.returncode), run.stderr


def test_the_fingerprint_sees_every_part(splits: Splits) -> None:
    """A changed id, post, reference or fact, a swap or a moved example changes it."""
    small = Splits(splits.train[:3], splits.validation[:2], splits.test[:2])
    first, second, third = small.train
    changed = [
        replace(first, id="other"),
        replace(first, post=first.post + "."),
        replace(first, references=("other",)),
        replace(first, facts=first.facts[:-1]),
        replace(first, facts=(NO_FACT, *first.facts[1:])),
    ]
    variants = [replace(small, train=(example, second, third)) for example in changed]
    variants.append(replace(small, train=(second, first, third)))
    variants.append(replace(small, train=(first, second), validation=(third, *small.validation)))
    prints = [small.fingerprint(), *(variant.fingerprint() for variant in variants)]
    assert len(prints) == len(set(prints))
    assert all(re.fullmatch(r"[0-9a-f]{16}", found) for found in prints)


def test_a_longer_training_split_leaves_the_test_split_alone(splits: Splits) -> None:
    """And its beginning stays as it was."""
    short = GeneratedConfig(train=50).build()
    assert splits.test == short.test
    assert splits.validation == short.validation
    assert splits.train[:50] == short.train


def test_another_seed_gives_another_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed of the corpus matters."""
    one = GeneratedConfig(5, 1, 1).build()
    monkeypatch.setattr("tersely.data.generated.CORPUS_SEED", 21)
    assert one.fingerprint() != GeneratedConfig(5, 1, 1).build().fingerprint()


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_an_empty_split_is_refused(name: str) -> None:
    """The message names the key, the value and the remedy."""
    with pytest.raises(ConfigError, match=rf"data\.{name} must be at least 1, got 0.*set data"):
        GeneratedConfig(**{name: 0})


def test_the_base_config_builds_nothing() -> None:
    """A choice of the group has to say how."""
    with pytest.raises(NotImplementedError):
        DataConfig().build()
