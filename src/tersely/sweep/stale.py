"""Jobs of a sweep that were killed before they could say so."""

import logging
from dataclasses import replace
from pathlib import Path

from tersely.file_lock import if_free
from tersely.sweep.result import JobResult, read_result
from tersely.tracking.attempts import LOCK, kept_run_id
from tersely.tracking.folder_run import TAGS
from tersely.whole_file import read_kept, write_json

log = logging.getLogger(__name__)

REASON = "it was killed before it could say why"


def end_stale_jobs(sweep_folder: Path) -> None:
    """Mark every job KILLED whose folder says RUNNING though nobody works there."""
    for file in sorted(sweep_folder.glob(f"*/{TAGS}")):
        folder = file.parent
        with if_free(folder / LOCK) as free:
            tags = read_kept(file)
            if not free or tags.get("status") != "RUNNING":
                continue
            write_json(file, {**tags, "status": "KILLED", "error": REASON})
            earlier = read_result(folder) or JobResult("KILLED", run_id=kept_run_id(folder))
            if not earlier.finished:
                replace(earlier, status="KILLED", error=REASON).write(folder)
            log.info("marked KILLED, nobody works on it: %s", folder)
