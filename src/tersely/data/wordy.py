"""Wordy summaries: the manners of a small instruct model that nobody has tuned.

The supervised warm start of the tiny model learns these. Their content is right, but they are
too long and too uneven. All six facts come first; what follows is comment, and after each
sentence of it the summary could as well have stopped. How wordy a summary will be shows in the
way it opens, so a policy can learn to open in another way.
"""

import random
from collections.abc import Mapping

from tersely.data.facts import states
from tersely.data.story.verbose import LEVELS, REMARKS, RESTATED, Level
from tersely.records import Example

_LEAN = {
    "roommates": 0.0,
    "work": -1.0,
    "family": 1.0,
    "travel": 0.5,
    "school": -0.5,
    "pets": 0.0,
    "money": -1.2,
    "dating": 1.2,
}
"""How much wordier (in levels) a genre is summarised than the average one."""
_MIDDLE, _WORDS_PER_LEVEL, _NOISE = 2.3, 60.0, 2.0
_TYPICAL_POST = 155
"""Words of a post that is summarised neither more nor less wordily for its length."""


def wordy_summary(example: Example, rng: random.Random, level: Level | None = None) -> str:
    """A summary of about 25 to 170 words that states every fact of `example` and none else.

    How wordy it is gets drawn (`draw_level`), unless `level` says so.
    """
    level = level or draw_level(example, rng)
    facts = as_told(example)
    text = f"{rng.choice(level.openings)} {rng.choice(level.frames).format_map(facts)}"
    target = rng.randint(*level.words)
    for sentence in _comments(facts, rng):
        if len(text.split()) >= target:
            break
        text = f"{text} {sentence}"
    return text


def draw_level(example: Example, rng: random.Random) -> Level:
    """How wordy: more so for long posts and chatty genres, and partly by chance."""
    lean = _LEAN.get(example.domain, 0.0)
    lean += (len(example.post.split()) - _TYPICAL_POST) / _WORDS_PER_LEVEL
    noise = _NOISE * (rng.random() + rng.random() - 1.0)
    return LEVELS[min(max(round(_MIDDLE + lean + noise), 0), len(LEVELS) - 1)]


def as_told(example: Example) -> dict[str, str]:
    """Each slot in the words of the post itself, the question as `direct` and `indirect`.

    A small model copies well before it paraphrases; the references do paraphrase.
    """
    chosen: dict[str, str] = {}
    for fact in example.facts:
        if fact.slot == "ask":
            chosen["direct"], chosen["indirect"] = fact.forms[:2]
        else:
            told = (form for form in fact.forms if states(example.post, form))
            chosen[fact.slot] = next(told, fact.forms[0])
    return chosen


def _comments(facts: Mapping[str, str], rng: random.Random) -> list[str]:
    """What can follow the facts, in a random order: facts once more, and remarks."""
    sentences = [*rng.sample(RESTATED, 6), *rng.sample(REMARKS, 9)]
    rng.shuffle(sentences)
    return [sentence.format_map(facts) for sentence in sentences]
