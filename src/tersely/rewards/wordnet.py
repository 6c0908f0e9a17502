"""Find WordNet: in NLTK's data path, in Debian's package, or by a download.

Debian's `wordnet-base` lacks `lexnames`, without which NLTK cannot read it, and NLTK opens files
below its data path only, no links, no folder that others may write to. So the files are copied
once, beside a `lexnames` written here, into the cache folder of this user.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from tersely.errors import CorpusMissing

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.data import PathPointer

log = logging.getLogger(__name__)

DEBIAN = Path("/usr/share/wordnet")
DOWNLOAD_SECONDS = 120
REMEDY = (
    "Install it with `apt-get install wordnet-base` or `python -m nltk.downloader wordnet`, or "
    "score without synonyms: reward.meteor_matching=exact_and_stem"
)

_PARTS = ("adj", "adv", "noun", "verb")
_FILES = tuple(pattern.format(p) for pattern in ("data.{}", "index.{}", "{}.exc") for p in _PARTS)
_NOUNS = (
    "Tops act animal artifact attribute body cognition communication event feeling food group "
    "location motive object person phenomenon plant possession process quantity relation shape "
    "state substance time"
)
_VERBS = (
    "body change cognition communication competition consumption contact creation emotion motion "
    "perception possession social stative weather"
)
_opening = Lock()


def open_wordnet() -> "WordNetCorpusReader":
    """NLTK's reader over the first WordNet found; takes about a second.

    Raises `CorpusMissing` if there is none, or if the one found cannot be read or copied.
    """
    with _opening:
        _search_cache_too()
        return _read(_locate())


def _locate() -> "str | PathPointer":
    found = _find()
    if found is not None:
        return found
    if _has_debian():
        return str(copy_debian(DEBIAN, cache_folder()))
    complaint = _download()
    found = _find()
    if found is None:
        raise CorpusMissing(
            "METEOR needs WordNet, and it is nowhere on this machine: not in NLTK's data path, not "
            f"in {DEBIAN}, and it cannot be downloaded ({complaint}). {REMEDY}"
        )
    return found


def cache_folder() -> Path:
    """Where the copy lives: `tersely/nltk_data` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "tersely" / "nltk_data"


def _search_cache_too() -> None:
    import nltk.data

    if str(cache_folder()) not in nltk.data.path:
        nltk.data.path.append(str(cache_folder()))


def _find() -> "PathPointer | None":
    import nltk.data

    for name in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        try:
            return nltk.data.find(name)
        except (LookupError, BadZipFile):
            continue
    return None


def _read(root: "str | PathPointer") -> "WordNetCorpusReader":
    from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError

    class English(WordNetCorpusReader):  # type: ignore[misc]  # NLTK has no types
        def map_wn(self, version: str = "wordnet") -> None:
            """No map to other languages: it takes seconds, and METEOR is English here."""

    try:
        # Any reader but None: None warns that other languages are missing.
        return English(root, omw_reader=())
    except (OSError, WordNetError, AssertionError) as error:
        raise CorpusMissing(
            f"METEOR needs WordNet, and the one in {root} cannot be read ({error}). Remove that "
            f"folder, so that another one is looked for. {REMEDY}"
        ) from error


def _has_debian() -> bool:
    return all((DEBIAN / name).is_file() for name in _FILES)


def copy_debian(source: Path, data: Path) -> Path:
    """Make NLTK's `corpora/wordnet` below the folder `data` from Debian's files in `source`.

    Fills a folder beside it and renames that one: the copy is whole or not there, whatever other
    processes do. Raises `CorpusMissing` where it cannot be written.
    """
    wanted = data / "corpora" / "wordnet"
    try:
        for folder in (data, wanted.parent):
            # NLTK refuses a folder that the group may write to, as some umasks have it.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wanted.parent, prefix=".wordnet-") as staging:
            copy = Path(staging) / "wordnet"
            _fill(copy, source)
            _rename_unless_there(copy, wanted)
    except OSError as error:
        raise CorpusMissing(
            f"WordNet from {source} cannot be copied to {wanted} ({error}), and NLTK reads no "
            "other place. Set XDG_CACHE_HOME to a folder that you can write to, with 30 MB free, "
            "or score without synonyms: reward.meteor_matching=exact_and_stem"
        ) from error
    log.info("copied WordNet from %s to %s", source, wanted)
    return wanted


def _fill(folder: Path, source: Path) -> None:
    folder.mkdir(mode=0o700)
    for name in _FILES:
        shutil.copyfile(source / name, folder / name)
    (folder / "lexnames").write_text(lexnames(), encoding="ascii")
    # NLTK's own `nltk.corpus.wordnet` opens it to map other languages; empty maps none.
    (folder / "index.sense").touch()
    for path in folder.iterdir():
        path.chmod(0o600)


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        # Another process was first. Its copy is as good as this one.
        if not target.is_dir():
            raise


def lexnames() -> str:
    """The file `lexnames`: number, name and part of speech of WordNet's lexicographer files.

    The list is that of the manual page lexnames(5WN), WordNet 3.0.
    """
    numbered = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    names = ["adj.all", "adj.pert", "adv.all"]
    names += [f"noun.{topic}" for topic in _NOUNS.split()]
    names += [f"verb.{topic}" for topic in _VERBS.split()]
    names += ["adj.ppl"]
    rows = (f"{i:02d}\t{n}\t{numbered[n.split('.')[0]]}\n" for i, n in enumerate(names))
    return "".join(rows)


def _download() -> str:
    """Run NLTK's downloader in a process of its own, which can be stopped and kept quiet.

    Returns what it complained of, empty if nothing; whether WordNet is there now shows by itself.
    """
    log.info("WordNet is not on this machine; downloading it (11 MB)")
    downloader = ["nltk.downloader", "--quiet", "--exit-on-error", "wordnet"]
    command = [sys.executable, "-W", "ignore", "-m", *downloader]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = (done.stdout + done.stderr).replace("[nltk_data]", "")
    return " ".join(said.split())
