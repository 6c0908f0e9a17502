"""What METEOR takes for the same word; apart from METEOR so that every reward can name it."""

from enum import Enum


class Matching(Enum):
    """What counts as a match beside the same form and the same stem."""

    wordnet = "wordnet"
    """Synonyms of WordNet: METEOR as published results have it."""
    exact_and_stem = "exact_and_stem"
    """Nothing. Needs no corpus; the scores are lower and not comparable with published ones."""
