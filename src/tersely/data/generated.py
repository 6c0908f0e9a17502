"""The embedded data: posts written by a grammar, with the facts that each of them states."""

import random
from dataclasses import dataclass

from tersely.data.splits import DataConfig, Splits
from tersely.data.story import GENRES, Genre
from tersely.data.story.post import tell
from tersely.data.story.reference import refer
from tersely.data.story.times import WHEN
from tersely.errors import ConfigError
from tersely.records import Example, Fact
from tersely.seeds import derive

CORPUS_SEED = 20

LARGEST_SPLIT = 1_000_000
"""Examples; of two hundred million sets of facts, so that a new one is soon found."""

_SPLITS = ("test", "validation", "train")
"""In the order of their making: a longer training split leaves the other two as they are."""


@dataclass
class GeneratedConfig(DataConfig):
    """Informal first-person posts in eight genres, the same on every machine.

    The seed of a run has no say in them: runs with different seeds share one corpus, so that
    their results can be compared.
    """

    train: int = 2000
    """Training examples, at least 1."""
    validation: int = 200
    """Validation examples, at least 1."""
    test: int = 200
    """Test examples, at least 1."""

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            size = getattr(self, name)
            if not 1 <= size <= LARGEST_SPLIT:
                raise ConfigError(
                    f"data.{name} must be at least 1, got {size}: every split is used in a run; "
                    f"set data.{name} to the number of examples wanted, for instance 200 (the most "
                    f"is {LARGEST_SPLIT})"
                )

    def build(self) -> Splits:
        """Write the posts; no two share their text or their set of facts."""
        seen: set[object] = set()
        sizes = {"train": self.train, "validation": self.validation, "test": self.test}
        made = {name: self._split(name, sizes[name], seen) for name in _SPLITS}
        return Splits(train=made["train"], validation=made["validation"], test=made["test"])

    def _split(self, name: str, size: int, seen: set[object]) -> tuple[Example, ...]:
        return tuple(self._example(name, index, seen) for index in range(size))

    def _example(self, split: str, index: int, seen: set[object]) -> Example:
        """The first attempt at this index that repeats neither a post nor a set of facts."""
        attempt = 0
        while True:
            key = derive(CORPUS_SEED, "data", _SPLITS.index(split), index, attempt)
            rng = random.Random(key)
            genre = rng.choice(GENRES)
            facts = _choose(genre, rng)
            post = tell(genre, facts, rng)
            if post not in seen and facts not in seen:
                seen.update((post, facts))
                reference = refer(facts, rng)
                name = f"generated-{split}-{index + 1:04d}"
                return Example(name, post, (reference,), genre.name, facts)
            attempt += 1


def _choose(genre: Genre, rng: random.Random) -> tuple[Fact, ...]:
    """One value a slot, in the order of story.SLOTS."""
    places = (genre.who, genre.what, genre.where, WHEN, genre.ending, genre.ask)
    return tuple(rng.choice(values) for values in places)
