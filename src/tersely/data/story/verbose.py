"""The wording of wordy summaries: five levels, each with openings and frames of its own.

A frame states all six facts. `{direct}` is the question itself, `{indirect}` a clause of it.
"""

from dataclasses import dataclass

from tersely.data.story.genre import lines, paragraphs


@dataclass(frozen=True)
class Level:
    """One degree of wordiness."""

    name: str
    words: tuple[int, int]
    """The summary goes on with comments until it has this many words, drawn evenly."""
    openings: tuple[str, ...]
    """How the summary begins; no opening belongs to two levels."""
    frames: tuple[str, ...]


TERSE = Level(
    name="terse",
    words=(0, 0),
    openings=("in short,", "briefly,", "tl;dr:", "quick version:"),
    frames=lines(
        """
        {who} {what} {where} {when}, {ending}, and now i wonder {indirect}.
        {who} {what} {when} {where}; {ending}, so tell me, {direct}?
        {when}, {who} {what} {where}. then {ending}, so now, {direct}?
        {where} {when}, {who} {what}. then {ending}, and i wonder {indirect}.
        """
    ),
)
PLAIN = Level(
    name="plain",
    words=(30, 46),
    openings=("so basically,", "what happened is this:", "to sum it up,", "the gist is this:"),
    frames=paragraphs(
        """
        {who} {what} while we were {where}, and that was {when}. after that {ending}, and now i
        am asking {indirect}.

        {when}, when we were {where}, {who} {what}. the result was that {ending}, so my question
        is: {direct}?

        we were {where} and it was {when}. that is when {who} {what}, and in the end {ending}. now
        i would like to know {indirect}.

        i need to know {indirect}, because {who} {what}. this took place {where}, it was {when},
        and in the end {ending}.
        """
    ),
)
_UNHURRIED = paragraphs(
    """
    {who} is the person in question, and they {what}. it happened {where} and it was {when}.
    in the end {ending}, and now i would like to know {indirect}.

    it was {when}, and i was {where} when it all began, because {who} {what}. the way it ended is
    that {ending}, and what i would like to hear is {indirect}.

    it took place {where}, it was {when}, and it was all about {who}. what happened is that they
    {what}, and in the end {ending}. the big question is: {direct}?

    the big question is {indirect}. it all goes back to {who}, because they {what}. this was
    {where}, it was {when}, and the way it ended is that {ending}.
    """
)
FULL = Level(
    name="full",
    words=(50, 74),
    openings=(
        "okay, so the story goes like this:",
        "the main thing here is the following:",
        "let me put it in my own words:",
        "this post is about a bad day:",
    ),
    frames=_UNHURRIED,
)
LONG = Level(
    name="long",
    words=(78, 106),
    openings=(
        "there is quite a lot going on here.",
        "i will go through it step by step.",
        "it is a bit of a long story.",
        "to give you the full picture:",
    ),
    frames=_UNHURRIED,
)
ENDLESS = Level(
    name="endless",
    words=(110, 158),
    openings=(
        "where do i even begin with all of this?",
        "bear with me, because this is complicated.",
        "first of all, this takes a while to explain.",
        "as a complete summary of absolutely everything:",
    ),
    frames=_UNHURRIED,
)
LEVELS = (TERSE, PLAIN, FULL, LONG, ENDLESS)

RESTATED = lines(
    """
    again, the important point is that {who} {what}.
    to repeat the setting, all of this was {where}.
    as for the time, it was {when}, as i said before.
    the consequence, to say it once more, was that {ending}.
    so what i have to decide is {indirect}.
    everything goes back to the fact that {who} {what}.
    it should also be noted that it took place {where}.
    i mention again that it was {when}, because that matters.
    and because of it all {ending}, as i explained.
    the one who did it was {who}, and nobody else.
    """
)
"""Comments that state a fact once more."""

REMARKS = lines(
    """
    it is clear that i am quite upset about the whole thing.
    there is a lot of feeling in this, and that is easy to understand.
    the rest is mostly small talk and a bit of background.
    there are a few other details, but they are not that important.
    it is hard to say who is right and who is wrong in a case like this.
    some people may see it differently, and that is fine too.
    all in all, it was a situation that nobody would want to be in.
    i am looking for honest opinions from people who read this.
    any kind of advice would be welcome at this point.
    it is worth saying that every story has two sides.
    i have thought about it a lot and i am still not sure.
    that is more or less the whole situation as it stands.
    i hope that this covers all the main points of the story.
    thank you to everyone who takes the time to read this.
    """
)
"""Comments that state nothing in particular."""
