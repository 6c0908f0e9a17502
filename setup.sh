#!/bin/sh
# Everything that a run needs, into .venv beside this file; again whenever you like.
#
#   sh setup.sh          to train
#   sh setup.sh test     to run the tests as well
#   sh setup.sh dev      with nox too
#
# PYTHON=/path/to/python chooses the interpreter (3.11, 3.12 or 3.13) of a new .venv.
set -eu
cd "$(dirname "$0")"
extra=${1:-hub}
venv=.venv/bin/python

say() { printf 'setup.sh: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

suits() { # a Python of the right version with the given modules
    python=$1
    shift
    command -v "$python" >/dev/null && "$python" -c '
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' "$@" 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo "$@"
    else
        return 1
    fi
}

debian() { # install one Debian package; false where that cannot be
    command -v apt-get >/dev/null || return 1
    apt="apt-get -q -y -o DPkg::Lock::Timeout=120"
    # shellcheck disable=SC2086 # several words
    as_root env DEBIAN_FRONTEND=noninteractive sh -c "
        $apt install --no-install-recommends $1 ||
            { $apt update && $apt install --no-install-recommends $1; }" >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if suits "$candidate" venv ensurepip; then
            return
        fi
    done
    return 1
}

make_venv() {
    if ! find_python && { [ -n "${PYTHON:-}" ] || ! debian python3-venv || ! find_python; }; then
        for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
            if suits "$candidate"; then
                stop "$candidate cannot make virtual environments: it lacks the module venv or" \
                    "ensurepip. On Debian: apt-get install $candidate-venv"
            fi
        done
        stop "no Python 3.11, 3.12 or 3.13 was found${PYTHON:+ in PYTHON=$PYTHON}. Install one," \
            "or say where it is: PYTHON=/path/to/python sh setup.sh"
    fi
    say "making .venv with $("$candidate" --version)"
    "$candidate" -m venv --clear .venv
}

install_packages() {
    # What is installed already need not be asked for again, so a second time needs no network.
    wanted="$PWD $(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat ".venv/installed-$extra" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    say "installing Python packages into .venv (about 1 GB; this takes some minutes)"
    "$venv" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$extra]" ||
        stop "the packages could not be installed; pip says above why. It needs a network (or a" \
            "mirror that pip is configured for), 1 GB of disk, and Linux with glibc 2.35 or later" \
            "or macOS 14 or later on Apple silicon"
    echo "$wanted" >".venv/installed-$extra"
}

install_openblas() {
    [ "$(uname)" = Linux ] || return 0
    has="import ctypes; ctypes.CDLL('libopenblas.so.0')"
    "$venv" -c "$has" 2>/dev/null && return
    debian libopenblas0 && "$venv" -c "$has" 2>/dev/null && return
    say "OpenBLAS is not on this system, and training is many times slower without it." \
        "Debian: apt-get install libopenblas0 (as root)"
}

install_wordnet() { # for METEOR: a Debian package, else NLTK's download
    [ -f /usr/share/wordnet/data.noun ] || "$venv" -m nltk.downloader --help >/dev/null
    "$venv" -c '
from tersely.errors import CorpusMissing
from tersely.rewards.wordnet import open_wordnet
try:
    open_wordnet()
except CorpusMissing as error:
    print(f"setup.sh: {error}")' >&2
}

suits "$venv" pip || make_venv
install_packages
install_openblas
install_wordnet
say "done"
