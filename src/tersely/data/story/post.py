"""Tell a handful of facts as a rambling post."""

import random
import re
from collections.abc import Iterator, Mapping

from tersely.data.story import frames
from tersely.data.story.asides import BEFORE, SINCE
from tersely.data.story.genre import Genre
from tersely.data.story.remarks import GOODBYES, HELLOS, REMARKS
from tersely.data.story.words import WORDS
from tersely.records import Fact

SHORTEST, LONGEST = 60, 260
"""Words of a post, parted by white space."""
_OVERSHOOT = 28
"""Words by which the last sentence and the resuming words can pass the length aimed at."""
_OPENINGS_SHARE, _CLOSINGS_SHARE, _ECHO_SHARE = 0.6, 0.4, 0.5
_RESUME_SHARE, _LOWER_SHARE = 0.5, 0.6
_RESUME = ("anyway,", "so anyway,", "okay,", "well,", "back to it:")
"""Words that lead back to the story after small talk."""
_NOT_RESUMED = ("so", "and", "you", "mind", "where", "be", "dear", "tell", "what")
"""How a part begins that needs no such words, or reads badly after them."""
_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_START = re.compile(r"(^|[.!?] )([a-z])")
_PROPER = re.compile(
    r"\b(i|ceo|kevin|norway|english|latin|denver|leeds|dublin|portland|chicago|frankfurt"
    r"|singapore|toronto|cork|naples|tulsa|winnipeg|lisbon|kyoto|nairobi|lima|oslo|boston|glasgow"
    r"|austin|prague|tucson|bristol|perth|calgary|reno|geneva|houston|dubai|manchester|paris"
    r"|seattle|barcelona|melbourne|memphis|(?:mon|tues|wednes|thurs|fri|satur|sun)day|christmas"
    r"|easter|halloween|thanksgiving|new year|labour day|leap day|early march|of march|of may"
    r"|april|june|july|august|october|november)\b"
)
_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])(?!uni|use|one)")


def tell(genre: Genre, facts: tuple[Fact, ...], rng: random.Random) -> str:
    """The post: every fact in one of its forms, among sentences that state none.

    Its length is spread evenly; the parts of the story keep the order of one plan.
    """
    target = rng.randint(SHORTEST, LONGEST - _OVERSHOOT)
    wording = {fact.slot: rng.choice(fact.forms) for fact in facts}
    plan = rng.choice(frames.PLANS)
    story = [_part(part, wording, rng) for part in plan]
    first, last = _edges(wording, rng)
    if _words([*first, *story, *last]) > target:
        first, last = [], []
    room = target - _words([*first, *story, *last])
    talk: list[tuple[bool, str]] = []
    for late, sentence in _small_talk(genre, rng):
        if _words([text for _, text in talk]) >= room:
            break
        talk.append((late, sentence))
    event = next(i for i, part in enumerate(plan) if part.startswith(("event", "they")))
    return _in_style(" ".join([*first, *_interleave(story, talk, event, rng), *last]), rng)


def _part(part: str, wording: Mapping[str, str], rng: random.Random) -> str:
    if part not in ("ask", "ask_first"):
        return rng.choice(frames.FRAMES[part]).format_map(wording)
    direct = wording["ask"].startswith("should")
    if part == "ask":
        choices = frames.DIRECT if direct else frames.INDIRECT
    else:
        choices = frames.DIRECT_FIRST if direct else frames.INDIRECT_FIRST
    return rng.choice(choices).format_map(wording)


def _small_talk(genre: Genre, rng: random.Random) -> Iterator[tuple[bool, str]]:
    """Sentences without facts, none twice; True marks those that follow the event."""
    before = [*rng.sample(genre.talk, 5), *rng.sample(BEFORE, 8)]
    after = [*rng.sample(REMARKS, 9), *rng.sample(SINCE, 5)]
    pool = [*((False, text) for text in before), *((True, text) for text in after)]
    rng.shuffle(pool)
    for late, text in pool:
        yield late, _fill(text, rng)


def _edges(wording: Mapping[str, str], rng: random.Random) -> tuple[list[str], list[str]]:
    """First and last words of the author, either of them often absent."""
    first = [_fill(rng.choice(HELLOS), rng)] if rng.random() < _OPENINGS_SHARE else []
    last = [rng.choice(frames.ECHOES).format_map(wording)] if rng.random() < _ECHO_SHARE else []
    if rng.random() < _CLOSINGS_SHARE:
        last.append(_fill(rng.choice(GOODBYES), rng))
    return first, last


def _interleave(
    story: list[str], talk: list[tuple[bool, str]], event: int, rng: random.Random
) -> list[str]:
    """Put the small talk into the gaps: settings up to the event, feelings after it."""
    gaps: list[list[str]] = [[] for _ in range(len(story) + 1)]
    for late, sentence in talk:
        span = (event + 1, len(story)) if late else (0, event)
        gaps[rng.randint(*span)].append(sentence)
    told = list(gaps[0])
    for part, before, after in zip(story, gaps, gaps[1:], strict=False):
        told += [_resumed(part, rng) if before else part, *after]
    return told


def _resumed(part: str, rng: random.Random) -> str:
    """The next part of the story, sometimes with a word that leads back to it."""
    if part.startswith(_NOT_RESUMED) or rng.random() > _RESUME_SHARE:
        return part
    return f"{rng.choice(_RESUME)} {part}"


def _fill(template: str, rng: random.Random) -> str:
    """A small-talk sentence with its words chosen, and `a` made `an` where it must be."""
    used: list[str] = []

    def choose(match: re.Match[str]) -> str:
        used.append(rng.choice([word for word in WORDS[match[1]] if word not in used]))
        return used[-1]

    return _VOWEL.sub(r"\1n ", _SLOT.sub(choose, template))


def _in_style(text: str, rng: random.Random) -> str:
    """All lower case, or with capitals as in a book: each author has one habit."""
    if rng.random() < _LOWER_SHARE:
        return text.lower()
    text = _PROPER.sub(lambda match: _proper(match[0]), text)
    return _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def _proper(word: str) -> str:
    if word == "ceo":
        return "CEO"
    return " ".join(w if w in ("early", "of") else w.capitalize() for w in word.split())


def _words(sentences: list[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)
