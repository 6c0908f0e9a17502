"""What every data source gives: three splits and a fingerprint of them."""

import hashlib
from dataclasses import dataclass

from tersely.records import Example


@dataclass(frozen=True)
class Splits:
    """The examples to train on, to choose settings on, and to report on."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    def fingerprint(self) -> str:
        """16 hex digits over every id, post, reference and fact, in order.

        Fields are preceded by their length, so that no two corpora run into the same bytes.
        """
        digest = hashlib.blake2b(digest_size=8)
        for name, examples in (
            ("train", self.train),
            ("validation", self.validation),
            ("test", self.test),
        ):
            for example in examples:
                for text in (name, *_texts(example)):
                    data = text.encode("utf-8", "surrogatepass")
                    digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()


def _texts(example: Example) -> list[str]:
    facts = [text for fact in example.facts for text in (fact.slot, *fact.forms)]
    counts = [str(len(example.references)), str(len(example.facts))]
    return [*counts, example.id, example.domain, example.post, *example.references, *facts]


@dataclass
class DataConfig:
    """Base of the config group `data`; a choice adds its fields and `build()`."""

    def build(self) -> Splits:
        """The splits of this source. Raises DataError where the source cannot serve."""
        raise NotImplementedError
