"""Examples from a folder of `train.jsonl`, `validation.jsonl` and `test.jsonl`.

Lines are split as bytes, so a line of broken UTF-8 spoils only itself.
"""

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tersely.data.rows import Fault, check_rows, usable_examples
from tersely.data.splits import DataConfig, Splits
from tersely.errors import ConfigError, DataError
from tersely.paths import typed_path
from tersely.records import Example

SPLITS = ("train", "validation", "test")

OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it first",
    b"PAR1": "a parquet file; data=smoltldr reads those",
    codecs.BOM_UTF16_LE: "text in UTF-16; write it as UTF-8",
    codecs.BOM_UTF16_BE: "text in UTF-16; write it as UTF-8",
}
"""First bytes of files that are often taken for one JSON object a line, and what to do."""


@dataclass
class JsonlConfig(DataConfig):
    """Real posts from a folder of three files, one JSON object a line."""

    path: str = ""
    """Folder with train.jsonl, validation.jsonl and test.jsonl; has to be given."""

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ConfigError(
                "data=jsonl needs a folder and data.path is not set; set data.path=FOLDER, "
                "a folder with train.jsonl, validation.jsonl and test.jsonl"
            )

    def build(self) -> Splits:
        """Read the three files; raises `DataError` for a missing, unreadable or empty one."""
        folder = typed_path(self.path, "data.path")
        _require_files(folder)
        train, validation, test = (read_split(folder / f"{name}.jsonl", name) for name in SPLITS)
        return Splits(train=train, validation=validation, test=test)


def read_split(path: Path, split: str) -> tuple[Example, ...]:
    """The usable examples of one file; raises `DataError` if it has none or cannot be read."""
    try:
        with path.open("rb") as lines:
            head = lines.peek(4)
            for magic, said in OTHER_FORMATS.items():
                if head.startswith(magic):
                    raise DataError(f"{path} is not one JSON object a line but {said}")
            checked = check_rows(parse_lines(lines), split)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); see data.path") from error
    return usable_examples(checked, str(path), unit="line")


def parse_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, object]]:
    """Number and parse each line, counted from 1; blank lines at the end are not rows."""
    blank: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            blank.append(number)
            continue
        yield from ((earlier, Fault("blank line")) for earlier in blank)
        blank.clear()
        yield number, _parse(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)


class _KeyTwice(Exception):
    """A JSON object that has a key twice: which of the values is meant cannot be told."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _KeyTwice
    return found


def _parse(line: bytes) -> object:
    try:
        return json.loads(line.decode(), object_pairs_hook=_object)
    except _KeyTwice:
        return Fault("with a key twice")
    except UnicodeDecodeError:
        return Fault("broken UTF-8")
    except (ValueError, RecursionError):
        return Fault("broken JSON")


def _require_files(folder: Path) -> None:
    wanted = ", ".join(f"{name}.jsonl" for name in SPLITS)
    if not folder.is_dir():
        raise DataError(
            f"data.path={folder} is not a folder; set data.path to a folder with {wanted}"
        )
    missing = [f"{name}.jsonl" for name in SPLITS if not (folder / f"{name}.jsonl").is_file()]
    if missing:
        raise DataError(
            f"data.path={folder} lacks {', '.join(missing)}; data=jsonl reads {wanted} from it"
        )
