#!/usr/bin/env bash
# What: a public RSA key for JWE (RSA-OAEP-256) whose only operation is wrapKey, as FIT-Connect publishes its keys
# (RFC 7517, 4.3: wrapKey is "encrypt key"), given to npm jose 6.2.18, joserfc 1.8.0 and jwcrypto 1.6.1, and one with encrypt instead.
# Guess: all three encrypt to the wrapKey one. So: they contradict each other; no single value of key_ops suits all.
# Seen 2026-11-29:
#   joserfc ["wrapKey"] refused
#   joserfc ["encrypt"] encrypts
#   jwcrypto ["wrapKey"] encrypts
#   jwcrypto ["encrypt"] refused
#   npm jose ["wrapKey"] refused
#   npm jose ["encrypt"] encrypts
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check joserfc==1.8.0 jwcrypto==1.6.1
cd "$dir"
npm init --yes >/dev/null 2>&1
npm install --silent --no-audit --no-fund jose@6.2.18 >/dev/null
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import json
from joserfc import jwe
from joserfc.jwk import RSAKey
from jwcrypto import jwe as cjwe, jwk as cjwk
key = json.loads(cjwk.JWK.generate(kty="RSA", size=2048).export_public())
HEADER = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}
def tried(call):
    try:
        call()
    except Exception:
        return "refused"
    return "encrypts"
def by_jwcrypto(public):
    token = cjwe.JWE(b"x", json.dumps(HEADER))
    token.add_recipient(cjwk.JWK(**public))
for ops in (["wrapKey"], ["encrypt"]):
    public = {"kty": key["kty"], "n": key["n"], "e": key["e"], "alg": "RSA-OAEP-256", "key_ops": ops}
    json.dump(public, open(f"{ops[0]}.json", "w"))
    print("joserfc", json.dumps(ops), tried(lambda: jwe.encrypt_compact(HEADER, b"x", RSAKey.import_key(public), algorithms=list(HEADER.values()))))
for ops in (["wrapKey"], ["encrypt"]):
    public = json.load(open(f"{ops[0]}.json"))
    print("jwcrypto", json.dumps(ops), tried(lambda: by_jwcrypto(public)))
PY
cat > ops.mjs <<'JS'
import { readFileSync } from "node:fs";
import { CompactEncrypt, importJWK } from "jose";
for (const op of ["wrapKey", "encrypt"]) {
  let said = "encrypts";
  try {
    const key = await importJWK(JSON.parse(readFileSync(`${op}.json`)));
    await new CompactEncrypt(new Uint8Array([120])).setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM" }).encrypt(key);
  } catch (error) { said = "refused"; }
  console.log(`npm jose ["${op}"] ${said}`);
}
JS
node ops.mjs | tee -a "$dir/seen"
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
