"""What a genre is, and how its plain-text word lists are read."""

from dataclasses import dataclass

from tersely.records import Fact

SLOTS = ("who", "what", "where", "when", "ending", "ask")


@dataclass(frozen=True)
class Genre:
    """The values that a post of one genre chooses from, and its small talk."""

    name: str
    who: tuple[Fact, ...]
    """Noun phrases, singular."""
    what: tuple[Fact, ...]
    """Verb phrases in the past tense; each goes with any `who` and any `where`."""
    where: tuple[Fact, ...]
    ending: tuple[Fact, ...]
    """Whole clauses; each goes with any `what`."""
    ask: tuple[Fact, ...]
    talk: tuple[str, ...]
    """Sentences that belong to the genre and state no fact; {slots} as in words.py."""


def lines(block: str) -> tuple[str, ...]:
    """The lines of a block that are not empty."""
    return tuple(line.strip() for line in block.splitlines() if line.strip())


def paragraphs(block: str) -> tuple[str, ...]:
    """The texts of a block that are parted by empty lines, each on one line."""
    return tuple(" ".join(text.split()) for text in block.strip().split("\n\n"))


def values(slot: str, block: str) -> tuple[Fact, ...]:
    """One value a line, its forms parted by " / "; the first form is the usual one."""
    return tuple(Fact(slot, tuple(line.split(" / "))) for line in lines(block))


def asks(block: str) -> tuple[Fact, ...]:
    """One verb phrase a line, as a direct question and as two indirect ones."""
    return tuple(
        Fact("ask", (f"should i {verb}", f"whether to {verb}", f"if i should {verb}"))
        for verb in lines(block)
    )
