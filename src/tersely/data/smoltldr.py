"""`mlabonne/smoltldr`, the study's Reddit posts: 2,000 / 200 / 200 with one summary each.

From the Hugging Face Hub, from what `datasets` or the hub client has cached of it, or from a
local copy. Offline it answers within seconds: the hub is asked once, with a short timeout,
before anything that would retry.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tersely.data.rows import check_rows, usable_examples
from tersely.data.splits import DataConfig, Splits
from tersely.errors import ConfigError, DataError
from tersely.paths import typed_path
from tersely.records import Example

log = logging.getLogger(__name__)

REPOSITORY = "mlabonne/smoltldr"
SPLITS = ("train", "validation", "test")
_HUB_TIMEOUT_SECONDS = 5.0
_WAYS_ON = (
    "set data.path=LOCAL COPY (a folder written by save_to_disk, or one with train, validation "
    "and test as parquet, jsonl or csv), or use data=jsonl data.path=FOLDER"
)


@dataclass
class SmolTldrConfig(DataConfig):
    """The study's data set, through the `datasets` package."""

    path: str | None = None
    """Local copy: a folder written by `save_to_disk`, or one with parquet, jsonl or csv splits;
    unset: the hub or its cache."""

    def __post_init__(self) -> None:
        if self.path is not None and not self.path.strip():
            raise ConfigError(
                "data.path must name a folder or be null, got an empty string; null asks the hub"
            )

    def build(self) -> Splits:
        """Read the three splits; raises `DataError` if they cannot be had."""
        with _quiet_datasets():
            if self.path is None:
                return _to_splits(_from_hub(), REPOSITORY)
            folder = typed_path(self.path, "data.path")
            return _to_splits(_from_folder(folder), str(folder))


def _to_splits(rows: Mapping[str, list[object]], source: str) -> Splits:
    missing = [name for name in SPLITS if name not in rows]
    if missing:
        raise DataError(
            f"{source} has no split named {', '.join(missing)}, only {', '.join(rows) or 'none'}; "
            "train, validation and test are needed"
        )
    train, validation, test = (_examples(rows[name], name, source) for name in SPLITS)
    return Splits(train=train, validation=validation, test=test)


def _examples(rows: list[object], split: str, source: str) -> tuple[Example, ...]:
    return usable_examples(
        check_rows(enumerate(rows, start=1), split), f"{source} {split}", unit="row"
    )


def _from_folder(folder: Path) -> dict[str, list[object]]:
    import datasets

    if not folder.is_dir():
        raise DataError(f"data.path={folder} is not a folder; {_WAYS_ON}")
    if (folder / "state.json").is_file():
        raise DataError(f"data.path={folder} is one split, saved by itself; {_WAYS_ON}")
    try:
        if (folder / "dataset_dict.json").is_file():
            return _rows(datasets.load_from_disk(str(folder)))
        # Streamed, so that no second copy stays in the cache of `datasets`.
        return _rows(datasets.load_dataset(str(folder), streaming=True))
    except Exception as error:  # of nearly any kind, for metadata that is not as expected
        raise DataError(
            f"data.path={folder} cannot be read: {_first_line(error)}; {_WAYS_ON}"
        ) from error


def _from_hub() -> dict[str, list[object]]:
    import datasets

    if not _hub_answers():
        return _from_cache()
    try:
        return _rows(datasets.load_dataset(REPOSITORY))
    except Exception as error:
        raise DataError(
            f"{REPOSITORY} could not be fetched from the Hugging Face Hub: {_first_line(error)}; "
            f"{_WAYS_ON}"
        ) from error


def _from_cache() -> dict[str, list[object]]:
    """What an earlier run left: the cache of `datasets`, then that of the hub client."""
    import datasets
    from huggingface_hub import snapshot_download

    try:
        with _offline():
            rows = _rows(datasets.load_dataset(REPOSITORY))
    except Exception:
        try:
            snapshot = snapshot_download(REPOSITORY, repo_type="dataset", local_files_only=True)
            rows = _rows(datasets.load_dataset(snapshot, streaming=True))
        except Exception as error:
            raise DataError(
                f"the Hugging Face Hub does not answer and {REPOSITORY} is not in its cache on "
                f"this machine; {_WAYS_ON}"
            ) from error
    log.warning("the Hugging Face Hub does not answer: using the cached copy of %s", REPOSITORY)
    return rows


def _rows(splits: Mapping[str, Any]) -> dict[str, list[object]]:
    return {str(name): list(rows) for name, rows in splits.items()}


def _hub_answers() -> bool:
    """One request; any answer counts, and so does a proxy's."""
    import httpx
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_SECONDS)
    except (OSError, httpx.HTTPError):
        return False
    return True


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """No progress bars and no advice from `datasets`; both as they were afterwards."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "data=smoltldr needs the package `datasets`, which is not installed: pip install "
            "datasets (the extra `hub`), or use data=jsonl data.path=FOLDER"
        ) from error
    verbosity, bars = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()


@contextmanager
def _offline() -> Iterator[None]:
    """`datasets` looks only into its cache. It reads its offline switch from this module."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
