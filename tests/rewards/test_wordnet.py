"""Where WordNet comes from, and what is said where there is none."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tersely.errors import CorpusMissing
from tersely.rewards import wordnet
from tersely.rewards.matching import Matching
from tersely.rewards.meteor import MeteorConfig, _synonyms_of_wordnet
from tersely.rewards.wordnet import cache_folder, copy_debian, lexnames, open_wordnet

NAMES = sorted(
    [f"{kind}.{part}" for kind in ("data", "index") for part in ("adj", "adv", "noun", "verb")]
    + [f"{part}.exc" for part in ("adj", "adv", "noun", "verb")]
)

needs_debian = pytest.mark.skipif(
    not wordnet.DEBIAN.is_dir(), reason="Debian's wordnet-base is not installed"
)


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """A folder with the file names of Debian's package, a megabyte in all."""
    folder = tmp_path / "debian"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 10_000)
    return folder


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No WordNet anywhere and no network; gives the home folder."""
    import nltk.data

    _synonyms_of_wordnet.cache_clear()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nothing")])
    monkeypatch.setattr(wordnet, "DEBIAN", tmp_path / "nothing")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NLTK_DOWNLOAD_URL", "http://127.0.0.1:9/index.xml")
    return tmp_path / "home"


def test_nowhere(bare_machine: Path) -> None:
    """Found nowhere, the error names both commands and the switch, before any score is asked for.

    That it comes from `quality()` is the point: no training step has run.
    """
    with pytest.raises(CorpusMissing) as caught:
        MeteorConfig().quality()

    for part in (
        "apt-get install wordnet-base",
        "python -m nltk.downloader wordnet",
        "reward.meteor_matching=exact_and_stem",
        "Error loading wordnet",
    ):
        assert part in str(caught.value)


def test_slow_download(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that takes too long is stopped and reported."""
    monkeypatch.setattr(wordnet, "DOWNLOAD_SECONDS", 0.01)
    with pytest.raises(CorpusMissing, match=r"timed out after 0\.01 seconds"):
        open_wordnet()


def test_the_switch_needs_no_corpus(bare_machine: Path) -> None:
    """With exact_and_stem nothing is looked for, copied or downloaded."""
    (term,) = MeteorConfig(meteor_matching=Matching.exact_and_stem).quality()
    assert term.name == "meteor"
    assert not bare_machine.exists()


@needs_debian
def test_debian_is_copied_once(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's files are copied into the user's cache, and found there the next time."""
    monkeypatch.setattr(wordnet, "DEBIAN", Path("/usr/share/wordnet"))
    reader = open_wordnet()
    copy = bare_machine / ".cache" / "tersely" / "nltk_data" / "corpora" / "wordnet"

    assert copy.is_dir()
    assert reader.get_version() == "3.0"
    assert "car.n.01" in [sense.name() for sense in reader.synsets("automobile")]

    monkeypatch.setattr(wordnet, "DEBIAN", Path("/nowhere"))
    assert "car.n.01" in [sense.name() for sense in open_wordnet().synsets("automobile")]


def test_unwritable_cache(debian: Path, tmp_path: Path) -> None:
    """A cache folder that cannot be made names the folder and the variable to set."""
    (tmp_path / "file").touch()
    with pytest.raises(CorpusMissing, match=r"cannot be copied to .*file/corpora.*XDG_CACHE_HOME"):
        copy_debian(debian, tmp_path / "file")


def test_unreadable_wordnet(bare_machine: Path) -> None:
    """A WordNet with files missing names its folder, and is no reason to go on without one."""
    broken = cache_folder() / "corpora" / "wordnet"
    broken.mkdir(parents=True, mode=0o700)
    for folder in (cache_folder(), broken.parent):
        folder.chmod(0o700)
    with pytest.raises(CorpusMissing, match=rf"the one in {broken} cannot be read .*lexnames"):
        open_wordnet()


def test_copy_is_what_nltk_takes(debian: Path, tmp_path: Path) -> None:
    """All files, the two that Debian lacks, and nothing that others may write to, at any umask."""
    before = os.umask(0o000)
    try:
        copy = copy_debian(debian, tmp_path / "data")
    finally:
        os.umask(before)

    assert tmp_path / "data" / "corpora" / "wordnet" == copy
    assert sorted([*NAMES, "lexnames", "index.sense"]) == sorted(p.name for p in copy.iterdir())
    assert all((debian / name).read_bytes() == (copy / name).read_bytes() for name in NAMES)
    for path in (tmp_path / "data", copy.parent, copy, *copy.iterdir()):
        assert not path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_copies_that_race(debian: Path, tmp_path: Path) -> None:
    """Processes that copy at once all succeed, and leave one whole copy and nothing else."""
    data, go = tmp_path / "data", tmp_path / "go"
    code = (
        "import sys, time, pathlib; from tersely.rewards.wordnet import copy_debian\n"
        "source, data, go = map(pathlib.Path, sys.argv[1:])\n"
        "print('ready', flush=True)\n"
        "while not go.exists(): time.sleep(0.001)\n"
        "copy_debian(source, data)"
    )
    command = [sys.executable, "-c", code, str(debian), str(data), str(go)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == b"ready\n"
    go.touch()
    for racer in racers:
        racer.communicate(timeout=30)

    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert [path.name for path in (data / "corpora").iterdir()] == ["wordnet"]
    copy = data / "corpora" / "wordnet"
    assert all((debian / name).read_bytes() == (copy / name).read_bytes() for name in NAMES)


def test_the_second_copy_changes_nothing(debian: Path, tmp_path: Path) -> None:
    """A process that comes second keeps the first one's copy, which may be open."""
    first = copy_debian(debian, tmp_path / "data")
    inode = (first / "data.noun").stat().st_ino
    second = copy_debian(debian, tmp_path / "data")

    assert first == second
    assert inode == (second / "data.noun").stat().st_ino
    assert [path.name for path in first.parent.iterdir()] == ["wordnet"]


def test_a_copy_that_fails_leaves_nothing(debian: Path, tmp_path: Path) -> None:
    """Half a WordNet is never found: a missing file stops the copy before the rename."""
    (debian / "verb.exc").unlink()
    with pytest.raises(CorpusMissing, match=r"verb\.exc"):
        copy_debian(debian, tmp_path / "data")
    assert list((tmp_path / "data" / "corpora").iterdir()) == []


def test_lexnames() -> None:
    """The rows of lexnames(5WN): 45, numbered from 00, with nouns 1, verbs 2, adjectives 3."""
    rows = [line.split("\t") for line in lexnames().splitlines()]

    assert [f"{number:02d}" for number in range(45)] == [row[0] for row in rows]
    assert rows[0] == ["00", "adj.all", "3"]
    assert rows[2] == ["02", "adv.all", "4"]
    assert rows[3] == ["03", "noun.Tops", "1"]
    assert rows[28] == ["28", "noun.time", "1"]
    assert rows[29] == ["29", "verb.body", "2"]
    assert rows[43] == ["43", "verb.weather", "2"]
    assert rows[44] == ["44", "adj.ppl", "3"]


@pytest.mark.parametrize("value", ["", "not/absolute"])
def test_cache_folder(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME counts if it is absolute, as its specification says; else ~/.cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert tmp_path / ".cache" / "tersely" / "nltk_data" == cache_folder()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert tmp_path / "elsewhere" / "tersely" / "nltk_data" == cache_folder()
