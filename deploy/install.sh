#!/bin/sh
# Installiert den Hub aus dem Ordner, in dem dieses Skript neben den Dateien von `make wheel` liegt.
# Installs the hub from the folder in which this script lies beside the files that `make wheel` made.
#
#   sh install.sh [TARGET]        TARGET: a folder that is not there yet; default /opt/rathaus-hub
#
# The locked packages are checked by their hashes, the two wheels come without looking for anything else, and all is compiled
# to bytecode: without, each command takes seconds. The image's RUN step is this script, too.
# PYTHON names the interpreter (3.11 or later). UV names uv, which is quicker than pip. PIP_NO_INDEX and PIP_FIND_LINKS
# (UV_OFFLINE, UV_FIND_LINKS) let a machine without a network install from a folder of wheels.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${1:-/opt/rathaus-hub}
python=${PYTHON:-python3}

if [ -e "$target" ]; then
    echo "$target gibt es schon. Nennen Sie einen neuen Ordner, und zeigen Sie danach mit einem Link auf ihn." >&2
    echo "$target is there already. Name a new folder, and let a link point to it afterwards." >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Der Hub braucht Python 3.11 oder neuer (PYTHON=…). / The hub needs Python 3.11 or later (PYTHON=…)." >&2
    exit 2
fi

if [ -n "${UV:-}" ]; then
    "$UV" venv --quiet --no-project --python "$python" "$target"
    install() { "$UV" pip install --quiet --python "$target/bin/python" "$@"; }
else
    "$python" -m venv "$target"
    install() { "$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@"; }
fi
# Nothing is built here: what has no wheel would need a compiler and could run anything.
install --require-hashes --only-binary :all: -r "$here/requirements.lock"
install --no-deps "$here"/rathaus_hub_client-*.whl "$here"/rathaus_hub-*.whl
if [ -z "${UV:-}" ]; then
    # What installed is not needed to run.
    "$target/bin/python" -m pip uninstall --quiet --yes setuptools pip 2>/dev/null
fi
"$target/bin/python" -m compileall -q "$target/lib"
"$target/bin/hub" --version
