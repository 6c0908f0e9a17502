#!/bin/sh
# Everything that a run needs, into .venv beside this file; safe to run again at any time.
#
#   sh setup.sh          to train
#   sh setup.sh test     to run the tests too
#   sh setup.sh dev      to run the chores of noxfile.py too
#
# PYTHON=/path/to/python chooses the interpreter; without it the newest of 3.11 to 3.13 is taken.
set -eu
cd "$(dirname "$0")"
extra=${1:-hub}
venv=.venv/bin/python

say() { printf 'setup.sh: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

suits() { # suits PYTHON MODULE: is it of the right version, and does it have the module?
    command -v "$1" >/dev/null && "$1" -c "
import sys, $2
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null
}

find_python() { # find_python MODULE: set $python to the first one that suits
    module=$1
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.13 python3.12 python3.11 python3
    fi
    for python; do
        if suits "$python" "$module"; then return; fi
    done
    return 1
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

debian() { # debian PACKAGE: install it where that can be done
    command -v apt-get >/dev/null || return 0
    say "installing the Debian package $1"
    apt="apt-get -q -y -o DPkg::Lock::Timeout=120"
    install="$apt install --no-install-recommends $1"
    as_root env DEBIAN_FRONTEND=noninteractive \
        sh -c "$install || { $apt update && $install; }" >/dev/null 2>&1 ||
        say "that failed; by hand, as root: apt-get update && apt-get install $1"
}

make_venv() {
    package=python3-venv
    if find_python sys; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    fi
    find_python ensurepip || [ -n "${PYTHON:-}" ] || debian "$package"
    if ! find_python ensurepip; then
        find_python sys && stop "$python cannot make virtual environments: it lacks ensurepip," \
            "which Debian and Ubuntu have in the package $package"
        stop "no Python 3.11, 3.12 or 3.13 found${PYTHON:+ at PYTHON=$PYTHON}." \
            "Install one, or say where it is: PYTHON=/path/to/python sh setup.sh"
    fi
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

install_packages() {
    # What was installed from the same files is there: a second time needs no network.
    wanted="$PWD $(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat ".venv/installed-$extra" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "installing Python packages into .venv: about 1 GB, a few minutes"
    waiting=
    if [ -t 2 ]; then # somebody is
        # Ctrl-C does not reach it, so it looks whether this script is still there.
        while sleep 15 && kill -0 $$ 2>/dev/null; do
            say "still at it, $(du -sm .venv 2>/dev/null | cut -f1) MB so far"
        done >/dev/null &
        waiting=$!
    fi
    "$venv" -m pip install -qq --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$extra]" ||
        stop "pip could not install the packages; it says why above. It needs a network or a" \
            "mirror that it is configured for, and Linux with glibc 2.35 or macOS 14 on Apple" \
            "silicon, or later"
    echo "$wanted" >".venv/installed-$extra"
    if [ -n "$waiting" ]; then kill "$waiting" 2>/dev/null || :; fi
}

install_openblas() {
    loads="import ctypes; ctypes.CDLL('libopenblas.so.0')"
    if [ "$(uname)" != Linux ] || "$venv" -c "$loads" 2>/dev/null; then return; fi
    debian libopenblas0
    "$venv" -c "$loads" 2>/dev/null ||
        say "libopenblas.so.0 is missing; runs go on without it, many times slower"
}

install_wordnet() { # METEOR's synonyms: Debian's package, else a download
    [ -e /usr/share/wordnet/data.noun ] || debian wordnet-base
    "$venv" - <<'PYTHON' >&2
from tersely.errors import CorpusMissing
from tersely.rewards.wordnet import open_wordnet

try:
    open_wordnet()
except CorpusMissing as error:
    print(f"setup.sh: {error}")
PYTHON
}

case $extra in
hub | test | dev) ;;
*) stop "say nothing, test or dev, not $extra" ;;
esac
if ! suits "$venv" pip ||
    [ "$("${PYTHON:-$venv}" --version 2>/dev/null)" != "$("$venv" --version)" ]; then
    make_venv
fi
install_packages
install_openblas
install_wordnet
say "done"
