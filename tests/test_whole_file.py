"""Files that are there whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tersely.whole_file import write_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from tersely.whole_file import write_whole
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
write_whole(Path(sys.argv[1]), "half", synced=True)
"""


def test_what_a_killed_process_left_beside_it_is_removed(tmp_path: Path) -> None:
    """At the next writing, and neither what another process is just writing nor another file."""
    file = tmp_path / "a[1].json"
    file.write_text("old")
    subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    (half,) = (path for path in tmp_path.iterdir() if path != file)
    number = half.name.rpartition(".")[2]
    others = [f".{file.name}.{os.getppid()}", f".b.json.{number}", f".{file.name}.txt"]
    for name in others:
        (tmp_path / name).touch()
    assert "old" == file.read_text()
    write_whole(file, "new")
    assert {file.name, *others} == {path.name for path in tmp_path.iterdir()}
    assert "new" == file.read_text()


def test_a_writing_that_fails_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a", "half a character: \ud800")
    assert ["a"] == [path.name for path in tmp_path.iterdir()]
    assert "old" == (tmp_path / "a").read_text()
