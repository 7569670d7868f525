#!/usr/bin/env bash
# What: ajv 8.20.0 with ajv-formats 3.0.1, format date-time of JSON Schema (RFC 3339), a time written with a blank for the T.
# Guess: refused, as jsonschema-rs does, or taken by both (RFC 3339, 5.6 leaves the blank to applications).
# So: ajv-formats takes the blank, jsonschema-rs does not: the same document is valid at the sender and invalid at the receiver.
# Seen 2026-11-29:
#   ajv-formats 2026-11-29T10:00:00Z valid
#   ajv-formats 2026-11-29 10:00:00Z valid
#   jsonschema-rs 2026-11-29T10:00:00Z valid
#   jsonschema-rs 2026-11-29 10:00:00Z refused
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check jsonschema-rs==0.60.3
cd "$dir"
npm init --yes >/dev/null 2>&1
npm install --silent --no-audit --no-fund ajv@8.20.0 ajv-formats@3.0.1 >/dev/null
cat > format.cjs <<'JS'
const ajv = new (require("ajv"))();
require("ajv-formats")(ajv);
const judge = ajv.compile({ type: "string", format: "date-time" });
for (const time of ["2026-11-29T10:00:00Z", "2026-11-29 10:00:00Z"]) console.log("ajv-formats", time, judge(time) ? "valid" : "refused");
JS
node format.cjs | tee "$dir/seen"
"$dir/venv/bin/python" - <<'PY' | tee -a "$dir/seen"
import jsonschema_rs
judge = jsonschema_rs.validator_for({"type": "string", "format": "date-time"}, validate_formats=True)
for time in ("2026-11-29T10:00:00Z", "2026-11-29 10:00:00Z"):
    print("jsonschema-rs", time, "valid" if judge.is_valid(time) else "refused")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
