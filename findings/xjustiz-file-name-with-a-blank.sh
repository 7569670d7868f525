#!/usr/bin/env bash
# What: the official schema package of XJustiz 3.6.2, as the PyPI wheel openxjv 0.9.8 carries it.
# Guess: names of schema files are URI references as they stand (schemaLocation is xs:anyURI), without blanks.
# So: one file has a blank before its version, so that a URI made of standard and file name is none until it is encoded.
# Seen 2026-11-29:
#   xjustiz_3500_klaver _1_0.xsd
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$dir" openxjv==0.9.8
python3 - "$dir" <<'PY' | tee "$dir/seen"
import pathlib, sys, zipfile
wheel = next(pathlib.Path(sys.argv[1]).glob("*.whl"))
names = {pathlib.PurePosixPath(name).name for name in zipfile.ZipFile(wheel).namelist()}
for name in sorted(name for name in names if name.endswith(".xsd") and " " in name):
    print(name)
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
