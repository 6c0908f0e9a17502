"""Replies that were read, on disk: one SQLite file, shared by runs and by processes."""

import contextlib
import hashlib
import json
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tersely.errors import JudgeError

log = logging.getLogger(__name__)

FILE = "verdicts.db"

PATIENCE_S = 60.0
"""For another process to let go of the file."""


class Score(NamedTuple):
    """A score in [0, 1] and why."""

    score: float
    reason: str


def cache_key(**parts: object) -> str:
    """A key of everything that a reply depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Cache:
    """Key to scores by metric; a context manager. Entries that are damaged count as absent."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self.damaged = 0
        """Entries found damaged so far."""

    def __enter__(self) -> Self:
        """Open it. Raises `JudgeError` if nothing can be written there. A file that is no
        database is put aside."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._put_aside()
                self._open()
        except (OSError, ValueError, sqlite3.Error) as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
        if self.damaged:
            log.warning(
                "%s: %d entries were damaged; they are asked for again", self._file, self.damaged
            )

    def get(self, key: str, metrics: tuple[str, ...]) -> dict[str, Score] | None:
        """The scores for `metrics` kept under `key`, or None."""
        try:
            found = self._database.execute(
                "SELECT scores FROM replies WHERE key = ?", (key,)
            ).fetchone()
            return None if found is None else _scores(found[0], metrics)
        except sqlite3.OperationalError as error:
            # A lock, another version's table: asking again would be paid for and kept nowhere.
            raise self._unwritable(error) from error
        except (sqlite3.DatabaseError, TypeError, ValueError, RecursionError):
            self.damaged += 1
            return None

    def put(self, key: str, scores: Mapping[str, Score]) -> None:
        """Keep `scores`. Raises `JudgeError` if that fails."""
        try:
            self._database.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, json.dumps(scores))
            )
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def _open(self) -> None:
        # Each statement is a transaction of its own: an interrupted evaluation keeps what it has.
        self._database = sqlite3.connect(self._file, timeout=PATIENCE_S, isolation_level=None)
        # Bytes that are no text are a damaged entry, not an error of the database.
        self._database.text_factory = bytes
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            # Safe against the end of the process; only a power cut may lose the last entries.
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, scores TEXT)"
            )
        except sqlite3.Error:
            self._database.close()
            raise

    def _unwritable(self, error: Exception) -> JudgeError:
        return JudgeError(
            f"verdicts cannot be kept in {self._file} ({error}), and without that an interrupted "
            "evaluation would be paid for twice; set judge.cache_folder to a folder that can be "
            "written"
        )

    def _put_aside(self) -> None:
        aside = self._file.with_suffix(".damaged")
        self._file.replace(aside)
        for name in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._file.with_name(FILE + name).unlink()
        log.warning("%s was no database of verdicts; it is now %s", self._file, aside)


def _scores(text: Any, metrics: tuple[str, ...]) -> dict[str, Score]:
    """Raises TypeError or ValueError for anything but scores of just these metrics."""
    kept = json.loads(text)
    if not isinstance(kept, dict) or set(kept) != set(metrics):
        raise ValueError("not the scores of these metrics")
    scores = {}
    for metric, (score, reason) in kept.items():
        if type(score) not in (float, int) or not 0 <= score <= 1 or not isinstance(reason, str):
            raise ValueError(f"no score for {metric}")
        scores[metric] = Score(float(score), reason)
    return scores
