"""Files on a worker's machine, from a publisher on a loop of its own."""

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tersely.rollout.vllm.loop import LoopThread
from tersely.rollout.vllm.publishing.publisher import Publisher
from tersely.rollout.vllm.records import Published
from tersely.rollout.vllm.serving.worker_side import fetching
from tersely.rollout.vllm.serving.worker_side.fetching import NotFetched, Source, fetched, kept

FILES = {"a.safetensors": b"weights" * 400_000, "b.safetensors": b"more"}
"""The first is longer than what is read at once."""

Publish = Callable[..., Source]


@pytest.fixture
def publish(tmp_path: Path) -> Iterator[Publish]:
    """Publish `FILES` under a tag; what a worker is told, with a path that is there or not."""
    loop, publisher = LoopThread("publisher"), Publisher("127.0.0.1", 0)
    loop.run(publisher.start())

    def source(tag: str = "run-1", *, visible: bool) -> Source:
        folder = tmp_path / "trainer" / tag
        folder.mkdir(parents=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
        checksums = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
        published = Published(1, tag, folder, checksums, score=lambda *_: [])
        told = loop.run(publisher.source(published, "http://127.0.0.1:1"))
        return Source(**told | ({} if visible else {"path": "/not/on/this/machine"}))

    yield source
    loop.run(publisher.close())
    loop.close()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies go meanwhile."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(fetching, "MEMORY", tmp_path / "no memory")
    monkeypatch.setattr(fetching.tempfile, "tempdir", str(folder))
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_files_that_are_seen_are_not_copied(publish: Publish) -> None:
    source = publish(visible=True)
    with fetched(source) as folder:
        assert Path(source["path"]) == folder
    assert FILES == content_of(folder)


def test_files_that_are_not_seen_come_over_http_and_go_again(
    publish: Publish, temporary: Path
) -> None:
    with fetched(publish(visible=False)) as folder:
        assert FILES == content_of(folder)
        assert temporary == folder.parent
    assert [] == list(temporary.iterdir())


@pytest.mark.parametrize("visible", [True, False])
def test_a_damaged_file_is_named(publish: Publish, temporary: Path, visible: bool) -> None:
    source = publish(visible=visible)
    file = temporary.parent / "trainer" / "run-1" / "a.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(NotFetched, match=r"a\.safetensors of run-1 is damaged"), fetched(source):
        pass
    assert [] == list(temporary.iterdir())


def test_a_version_that_is_not_offered_any_more_is_named(publish: Publish) -> None:
    source = publish(visible=False)
    source["url"] += "0"
    with pytest.raises(NotFetched, match=r"a\.safetensors of run-1 .*404"), fetched(source):
        pass


def test_the_token_is_needed(publish: Publish) -> None:
    source = publish(visible=False)
    source["token"] = "another"
    with pytest.raises(NotFetched, match="401"), fetched(source):
        pass


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/b", ".."])
def test_names_lead_nowhere_else(publish: Publish, temporary: Path, name: str) -> None:
    """Whatever a trainer says."""
    source = publish(visible=False)
    source["checksums"] = {name: "0"}
    with pytest.raises(NotFetched, match="no name of a file"), fetched(source):
        pass
    assert [] == list(temporary.iterdir())


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_files_come_over_http_alone(publish: Publish, tmp_path: Path, scheme: str) -> None:
    """Whatever a trainer says: not from this machine's own disk, by an address."""
    source = publish(visible=False)
    source["url"] = f"{scheme}://{tmp_path / 'trainer' / 'run-1'}"
    with pytest.raises(NotFetched, match=f"unknown url type: {scheme}"), fetched(source):
        pass


def test_nobody_else_is_asked_and_told_the_token(publish: Publish) -> None:
    """A trainer does not send its workers elsewhere, so who does is none."""
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if not self.path.startswith("/elsewhere"):
                self.send_response(302)
                self.send_header("Location", f"/elsewhere{self.path}")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    source = publish(visible=False)
    source["checksums"] = {"a.safetensors": source["checksums"]["a.safetensors"]}
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever).start()
        source["url"] = f"http://127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(NotFetched, match="302"), fetched(source):
                pass
        finally:
            server.shutdown()
    assert ["/a.safetensors"] == asked


@pytest.mark.parametrize(("spare", "place"), [(0, "temporary"), (1, "memory")])
def test_memory_is_taken_where_it_has_room(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int, place: str
) -> None:
    """For 7 x 400,000 + 4 bytes and at least one more."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(fetching, "MEMORY", tmp_path / "memory")
    usage = SimpleNamespace(free=2_800_004 + spare)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage)
    with fetched(publish(visible=False)) as folder:
        assert tmp_path / place == folder.parent


def test_what_a_killed_worker_left_is_removed_by_the_next(
    publish: Publish, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both where copies go meanwhile and where they stay; not what runs: here, the parent."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    memory, shelf = tmp_path / "memory", tmp_path / "shelf"
    monkeypatch.setattr(fetching, "MEMORY", memory)
    left = [
        place / f"{prefix}{owner}-{socket.gethostname()}-0123abcd"
        for owner in (gone.pid, os.getppid())
        for place, prefix in (
            (memory, fetching.COPY),
            (temporary, fetching.COPY),
            (shelf, fetching.PART),
        )
    ]
    for folder in left:
        folder.mkdir(parents=True)
    source = publish(visible=False)
    with fetched(source):
        pass
    kept(source, shelf)

    assert [False] * 3 + [True] * 3 == [folder.exists() for folder in left]


@pytest.mark.parametrize("visible", [True, False])
def test_copies_that_stay_are_the_last_two(publish: Publish, tmp_path: Path, visible: bool) -> None:
    shelf = tmp_path / "shelf"
    folders = [
        kept(publish(f"run-{version}", visible=visible), shelf, copied=True) for version in range(4)
    ]

    assert {shelf / "run-2", shelf / "run-3"} == set(shelf.iterdir())
    assert [shelf / f"run-{version}" for version in range(4)] == folders
    assert FILES == content_of(folders[-1])


def test_a_copy_that_is_there_is_taken_again(publish: Publish, tmp_path: Path) -> None:
    source = publish(visible=False)
    first = kept(source, tmp_path / "shelf")
    source["url"] = "http://127.0.0.1:1/nobody"

    assert first == kept(source, tmp_path / "shelf")


def test_a_damaged_copy_does_not_stay(publish: Publish, tmp_path: Path) -> None:
    source = publish(visible=False)
    source["checksums"]["b.safetensors"] = "0"
    with pytest.raises(NotFetched):
        kept(source, tmp_path / "shelf")
    assert [] == list((tmp_path / "shelf").iterdir())


def test_no_copy_where_the_files_are_seen(publish: Publish, tmp_path: Path) -> None:
    source = publish(visible=True)

    assert Path(source["path"]) == kept(source, tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()
