"""Folders of jsonl: the real ones whole, and broken ones with an exact account of the faults."""

import gzip
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tersely.data.jsonl import JsonlConfig, parse_lines, read_split
from tersely.data.rows import check_rows
from tersely.data.smoltldr import SmolTldrConfig
from tersely.data.splits import DataConfig
from tersely.errors import ConfigError, DataError
from tersely.records import Example

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real data beside the project")


def line(prompt: object = "a post", completion: object = "a summary", **more: object) -> bytes:
    return json.dumps({"prompt": prompt, "completion": completion, **more}).encode()


def write(folder: Path, lines: Mapping[str, list[bytes]]) -> Path:
    """The three files; a split that is not named gets one good row."""
    for split in ("train", "validation", "test"):
        content = b"\n".join(lines.get(split, [line()])) + b"\n"
        (folder / f"{split}.jsonl").write_bytes(content)
    return folder


@needs_data
@pytest.mark.parametrize(
    ("name", "sizes", "most_references"),
    [("reddit_tifu", (165, 40, 60), 1), ("scitldr", (1984, 617, 617), 4)],
)
def test_real_folders_load_whole(
    name: str, sizes: tuple[int, ...], most_references: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Every row becomes an example with all its references, and nothing is logged."""
    splits = JsonlConfig(path=str(REAL / name)).build()
    assert sizes == (len(splits.train), len(splits.validation), len(splits.test))
    assert most_references == max(len(example.references) for example in splits.test)
    assert [] == caplog.records
    first = json.loads((REAL / name / "test.jsonl").read_text().splitlines()[0])
    references = tuple(first.get("references", [first["completion"]]))
    assert Example(first["id"], first["prompt"], references) == splits.test[0]


def test_row_becomes_an_example(tmp_path: Path) -> None:
    """Optional keys, several references, an id from the line number, text kept as it is."""
    rows = [
        line(" a post\n", "one", id="x", domain="tifu", references=["two", "one"]),
        line("b", "three", references=["two"]),
        line("c", "four", id=7, domain=None, references=None),
    ]
    assert (
        Example("x", " a post\n", ("two", "one"), "tifu"),
        Example("train-2", "b", ("three", "two")),
        Example("7", "c", ("four",)),
    ) == JsonlConfig(path=str(write(tmp_path, {"train": rows}))).build().train


FAULTS = [
    ("missing prompt", b'{"completion": "x"}'),
    ("missing prompt", b'{"prompt": null, "completion": "x"}'),
    ("missing completion", b'{"prompt": "x"}'),
    ("prompt is not text", line(prompt=["x"])),
    ("completion is not text", line(completion=3)),
    ("empty post", line(prompt=" \n\t")),
    ("empty reference", line(completion="")),
    ("empty reference", line(references=["good", "  "])),
    ("references is not a list of text", line(references="x")),
    ("references is not a list of text", line(references=["x", 1])),
    ("id is not text", line(id=["x"])),
    ("id is not text", line(id=True)),
    ("domain is not text", line(domain={})),
    ("duplicate id", line(id="good")),
    ("not an object", b'["prompt", "completion"]'),
    ("not an object", b"17"),
    ("with a key twice", b'{"prompt": "x", "prompt": "y", "completion": "z"}'),
    ("broken JSON", b'{"prompt": "x", '),
    ("broken JSON", b"[" * 100_000),
    ("broken JSON", b"1" * 5_000),
    ("broken UTF-8", b'{"prompt": "caf\xe9", "completion": "x"}'),
    ("broken UTF-8", b'{"prompt": "\\ud83d", "completion": "x"}'),
    ("broken UTF-8", b'{"prompt": "x", "completion": "x", "domain": "\\ud83d"}'),
    ("blank line", b"  \r"),
]


@pytest.mark.parametrize(("kind", "bad"), FAULTS)
def test_each_fault_is_named_and_spoils_only_its_line(
    kind: str, bad: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad line among three: the others stay, and one warning says which and why."""
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join([line(id="good"), bad, line(id="last")]))
    assert ["good", "last"] == [example.id for example in read_split(path, "train")]
    message = f"{path}: left out 1 of 3 rows (1 {kind}); first at line 2"
    assert [("WARNING", message)] == [(r.levelname, r.getMessage()) for r in caplog.records]


def test_faults_are_counted_by_kind_and_logged_once_a_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """165 good rows and three bad ones, from line 17 on; the commonest kind comes first."""
    rows = [line(id=str(number)) for number in range(165)]
    for at, bad in ((16, b"{"), (40, line(prompt="")), (99, line(prompt=" "))):
        rows.insert(at, bad)
    splits = JsonlConfig(path=str(write(tmp_path, {"train": rows}))).build()
    assert 165 == len(splits.train)
    assert [
        f"{tmp_path}/train.jsonl: left out 3 of 168 rows (2 empty post, 1 broken JSON); "
        "first at line 17"
    ] == caplog.messages


def test_windows_file_loads_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A byte-order mark, CRLF and blank lines at the end are no faults."""
    path = tmp_path / "test.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line() + b"\r\n" + line("b") + b"\r\n\r\n \n\n")
    assert ["test-1", "test-2"] == [example.id for example in read_split(path, "test")]
    assert [] == caplog.records


def test_file_with_nothing_left_is_an_error(tmp_path: Path) -> None:
    """The message has the account of what was left out, or says that the file is empty."""
    path = tmp_path / "validation.jsonl"
    path.write_bytes(b"{\n" + line(prompt="") + b"\nnonsense")
    with pytest.raises(DataError) as caught:
        read_split(path, "validation")
    assert (
        f"{path} has no usable row: left out 3 of 3 rows (2 broken JSON, 1 empty post); "
        "first at line 1; a row needs `prompt` and `completion`"
    ) == str(caught.value)
    path.write_bytes(b"\n\n")
    with pytest.raises(DataError, match="no usable row: it has no rows"):
        read_split(path, "validation")


def test_missing_folder_and_files_are_named(tmp_path: Path) -> None:
    """Which files are wanted, which lack, and what data.path was."""
    folder = tmp_path / "nowhere"
    with pytest.raises(DataError) as caught:
        JsonlConfig(path=str(folder)).build()
    assert (
        f"data.path={folder} is not a folder; set data.path to a folder with train.jsonl, "
        "validation.jsonl, test.jsonl"
    ) == str(caught.value)
    write(tmp_path, {})
    (tmp_path / "test.jsonl").unlink()
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(DataError, match=r"lacks train.jsonl, test.jsonl; data=jsonl reads"):
        JsonlConfig(path=str(tmp_path)).build()


def test_unset_path_is_a_config_error() -> None:
    """Made by hand or by OmegaConf, it names the key to set."""
    for path in ("", "  "):
        with pytest.raises(ConfigError, match=r"set data.path=FOLDER"):
            JsonlConfig(path=path)
    with pytest.raises(ConfigError, match=r"set data.path=FOLDER"):
        OmegaConf.to_object(OmegaConf.structured(JsonlConfig))


keys = st.sampled_from(["prompt", "completion", "id", "domain", "references", "other"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.lists(st.text(max_size=3))
)
random_lines = st.one_of(
    st.binary(max_size=30),
    st.dictionaries(keys, values, max_size=6).map(lambda row: json.dumps(row).encode()),
    st.just(line()),
)


@given(lines=st.lists(random_lines, max_size=8))
@settings(deadline=None, max_examples=300)
def test_random_bytes_never_crash_and_the_tally_adds_up(lines: list[bytes]) -> None:
    """Every row is an example or a counted fault, and every example is fit to be tokenized."""
    content = b"\n".join(lines)
    examples, tally = check_rows(parse_lines(content.splitlines(keepends=True)), "train")
    assert tally.total == len(examples) + tally.left_out
    assert (tally.first is None) == (tally.left_out == 0)
    assert len(examples) == len({example.id for example in examples})
    assert all(example.post.strip() and example.post.encode() for example in examples)
    assert all(reference.strip() for example in examples for reference in example.references)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        path.write_bytes(content)
        logging.disable(logging.WARNING)
        try:
            read_split(path, "train")
        except DataError:
            pass
        finally:
            logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(line() * 20), "gzip archive; unpack it"),
        (b"PK\x03\x04" + line(), "zip archive; unpack it"),
        (b"\x28\xb5\x2f\xfd" + line(), "zstd archive; unpack it"),
        (b"PAR1" + line(), "parquet file; data=smoltldr"),
        (line().decode().encode("utf-16"), "UTF-16; write it as UTF-8"),
    ],
)
def test_a_file_of_another_format_is_called_what_it_is(
    content: bytes, said: str, tmp_path: Path
) -> None:
    """And not a thousand lines of broken UTF-8."""
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_split(path, "train")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "x" * 5000])
@pytest.mark.parametrize("kind", [JsonlConfig, SmolTldrConfig])
def test_what_is_no_path_is_said(kind: type[DataConfig], path: str) -> None:
    """These ended in a traceback."""
    with pytest.raises(ConfigError, match=r"data\.path="):
        kind(path=path).build()  # type: ignore[call-arg]
