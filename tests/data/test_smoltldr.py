"""The study's data set from a local copy, from a cache, and with no hub to ask."""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tersely.data.smoltldr import REPOSITORY, SmolTldrConfig
from tersely.errors import ConfigError, DataError
from tersely.records import Example

datasets = pytest.importorskip("datasets")
huggingface_hub = pytest.importorskip("huggingface_hub")

SPLITS = ("train", "validation", "test")
ROWS = [{"prompt": "SUBREDDIT: r/tifu a post", "completion": " a summary"}] * 2
WANTED = (
    Example("train-1", "SUBREDDIT: r/tifu a post", (" a summary",)),
    Example("train-2", "SUBREDDIT: r/tifu a post", (" a summary",)),
)


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Caches of this test alone, and a hub at a port where nobody listens."""
    caches = tmp_path / "caches"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", caches / "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(caches / "hub"))
    yield caches


def write_rows(folder: Path, kind: str, splits: tuple[str, ...] = SPLITS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    made = {split: datasets.Dataset.from_list(ROWS) for split in splits}
    if kind == "save_to_disk":
        datasets.DatasetDict(made).save_to_disk(str(folder))
    for split, rows in made.items():
        if kind == "parquet":
            rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        elif kind == "csv":
            rows.to_csv(folder / f"{split}.csv", index=False)
        elif kind == "jsonl":
            rows.to_json(folder / f"{split}.jsonl")
    return folder


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # `datasets`, for csv
@pytest.mark.parametrize("kind", ["save_to_disk", "parquet", "csv", "jsonl"])
def test_local_copy_is_read(
    kind: str, tmp_path: Path, own_caches: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each layout gives the same examples, draws no progress bar and leaves no second copy."""
    folder = write_rows(tmp_path / "copy", kind)
    datasets.enable_progress_bars()
    splits = SmolTldrConfig(path=str(folder)).build()
    assert WANTED == splits.train
    assert ("validation-2", "test-2") == (splits.validation[1].id, splits.test[1].id)
    assert ("", "") == capfd.readouterr()
    assert 0 == sum(path.stat().st_size for path in own_caches.rglob("*") if path.is_file())
    assert not datasets.are_progress_bars_disabled()


def test_no_hub_is_said_quickly_with_the_two_ways_on(caplog: pytest.LogCaptureFixture) -> None:
    """No retries: one short paragraph within seconds."""
    started = time.perf_counter()
    with pytest.raises(DataError) as caught:
        SmolTldrConfig().build()
    assert time.perf_counter() - started < 8
    message = str(caught.value)
    assert message.startswith(f"the Hugging Face Hub does not answer and {REPOSITORY} is not in")
    assert "data.path=LOCAL COPY" in message
    assert "data=jsonl data.path=FOLDER" in message
    assert not datasets.config.HF_HUB_OFFLINE


def test_cache_of_the_hub_client_serves_offline(
    own_caches: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot that `hf download` left is used, and the log says so."""
    repository = own_caches / "hub" / "datasets--mlabonne--smoltldr"
    write_rows(repository / "snapshots" / "abc" / "data", "parquet")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert WANTED == SmolTldrConfig().build().train
    assert [
        f"the Hugging Face Hub does not answer: using the cached copy of {REPOSITORY}"
    ] == caplog.messages


def test_cache_of_datasets_serves_offline(own_caches: Path, tmp_path: Path) -> None:
    """So is what an earlier `load_dataset` left in its own cache."""
    folder = write_rows(tmp_path / "smoltldr", "parquet")
    datasets.load_dataset(str(folder))
    cached = own_caches / "datasets"
    (made,) = (path for path in cached.glob("*/*/*/*") if path.is_dir())
    shutil.copytree(made, cached / "mlabonne___smoltldr" / "default" / "0.0.0" / "abc")
    assert WANTED == SmolTldrConfig().build().train


def test_missing_split_is_named(tmp_path: Path) -> None:
    """With the splits that are there."""
    folder = write_rows(tmp_path / "copy", "save_to_disk", ("train", "test"))
    with pytest.raises(DataError, match="no split named validation, only train, test"):
        SmolTldrConfig(path=str(folder)).build()


def test_bad_rows_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in data=jsonl, by row, once a split."""
    folder = write_rows(tmp_path / "copy", "jsonl")
    bad = [{"prompt": " ", "completion": "x"}, {"prompt": "x", "completion": None}]
    lines = "\n".join(json.dumps(row) for row in [ROWS[0], *bad])
    (folder / "test.jsonl").write_text(lines)
    caplog.set_level(logging.INFO)
    assert 1 == len(SmolTldrConfig(path=str(folder)).build().test)
    assert [
        f"{folder} test: left out 2 of 3 rows (1 empty post, 1 missing completion); first at row 2"
    ] == [message for message in caplog.messages if "left out" in message]


def test_unreadable_copies_are_named(tmp_path: Path) -> None:
    """No folder, an empty folder, a broken file, a single split: the message names data.path."""
    empty, broken, single = (tmp_path / name for name in ("empty", "broken", "single"))
    empty.mkdir()
    write_rows(broken, "jsonl")
    (broken / "train.jsonl").write_bytes(b'{"prompt": \xff\nnonsense')
    datasets.Dataset.from_list(ROWS).save_to_disk(str(single))
    for folder in (tmp_path / "nowhere", empty, broken, single):
        with pytest.raises(DataError, match=r"set data.path=LOCAL COPY") as caught:
            SmolTldrConfig(path=str(folder)).build()
        assert f"data.path={folder}" in str(caught.value)
    with pytest.raises(ConfigError, match=r"data.path must name a folder or be null"):
        SmolTldrConfig(path="")


BROKEN = {
    # Each of these ended in a traceback.
    "empty files": lambda folder: [(folder / f"{name}.jsonl").write_text("") for name in SPLITS],
    "no object": lambda folder: (folder / "dataset_dict.json").write_text("[]"),
    "no splits": lambda folder: (folder / "dataset_dict.json").write_text("{}"),
    "splits that are none": lambda folder: (folder / "dataset_dict.json").write_text(
        '{"splits": 5}'
    ),
    "a card that is no YAML": lambda folder: (folder / "README.md").write_text("---\na: [\n---\n"),
    "features that are none": lambda folder: (folder / "README.md").write_text(
        "---\ndataset_info:\n  features: 5\n---\n"
    ),
    # This did not.
    "a script": lambda folder: (folder / f"{folder.name}.py").write_text("raise SystemExit(3)"),
}


@pytest.mark.parametrize("harm", BROKEN)
def test_a_broken_copy_is_an_error_with_a_name(harm: str, tmp_path: Path) -> None:
    """`datasets` raises nearly any kind of error for metadata that is not as it expects."""
    folder = write_rows(tmp_path / "copy", "jsonl")
    BROKEN[harm](folder)
    with pytest.raises(DataError, match=r"data\.path=.* cannot be read: .+; set data\.path"):
        SmolTldrConfig(path=str(folder)).build()
