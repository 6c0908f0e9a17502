"""Tell a handful of facts in one or two sentences."""

import random
from collections.abc import Sequence

from tersely.data.story.genre import lines
from tersely.records import Fact

SHORTEST, LONGEST = 15, 30
"""Words of a reference, parted by white space."""
_CANONICAL_SHARE = 0.6
_DRAWS = 50

_TEMPLATES = lines(
    """
    {who} {what} {where} {when}; {ending} and i wonder {indirect}.
    {who} {what} {where} {when}. {ending}, so {direct}?
    {when}, {who} {what} {where}; {ending} and i wonder {indirect}.
    {when}, {who} {what} {where}. {ending}, and now i ask {indirect}.
    {who} {what} {when} {where} and {ending}, so {direct}?
    {who} {what} {when} {where}; {ending}, and i cannot decide {indirect}.
    {where} {when}, {who} {what}. {ending}; {direct}?
    {direct}? {who} {what} {where} {when} and {ending}.
    """
)
_TERSEST = "{who} {what} {where} {when}; {ending}; {direct}?"


def refer(facts: Sequence[Fact], rng: random.Random) -> str:
    """A reference summary of 15 to 30 words, lower case, that states every fact."""
    for _ in range(_DRAWS):
        text = rng.choice(_TEMPLATES).format_map(wording(facts, rng))
        if SHORTEST <= len(text.split()) <= LONGEST:
            return text
    return _TERSEST.format_map(shortest(facts))


def shortest(facts: Sequence[Fact]) -> dict[str, str]:
    """The form of each slot with the fewest words, the question as `direct`."""
    forms = {fact.slot: min(fact.forms, key=lambda form: len(form.split())) for fact in facts}
    return {**forms, "direct": next(fact.forms[0] for fact in facts if fact.slot == "ask")}


def wording(facts: Sequence[Fact], rng: random.Random) -> dict[str, str]:
    """One form a slot, the usual one more often; the question as `direct` and `indirect`."""
    chosen: dict[str, str] = {}
    for fact in facts:
        if fact.slot == "ask":
            chosen["direct"] = fact.forms[0]
            chosen["indirect"] = rng.choice(fact.forms[1:])
        elif rng.random() < _CANONICAL_SHARE:
            chosen[fact.slot] = fact.forms[0]
        else:
            chosen[fact.slot] = rng.choice(fact.forms)
    return chosen
