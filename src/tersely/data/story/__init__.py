"""The grammar of the embedded corpus: what can happen, and how it is told."""

from tersely.data.story.genre import SLOTS, Genre
from tersely.data.story.lexicon import GENRES, all_values

__all__ = ["GENRES", "SLOTS", "Genre", "all_values"]
