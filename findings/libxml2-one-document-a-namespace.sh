#!/usr/bin/env bash
# What: lxml 6.1.3 (libxml2 2.14), two xs:import of one namespace with different schemaLocation, each file with types of its own.
# Guess: both are read; schema packages of German public administration (StUF) are built so, and each file is in order.
# So: the second import is dropped without a word, so that what only it defines does not resolve; the order decides.
# Seen 2026-11-29:
#   libxml2 types of a before b: does not resolve Zahl
#   libxml2 types of b before a: does not resolve Wort
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.1.3
cd "$dir"
python3 - <<'PY'
XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
for name, kind, base in (("a", "Wort", "xs:string"), ("b", "Zahl", "xs:integer")):
    open(f"{name}.xsd", "w").write(
        f'<xs:schema {XS} targetNamespace="urn:t"><xs:simpleType name="{kind}"><xs:restriction base="{base}"/></xs:simpleType></xs:schema>')
for first, second in ("ab", "ba"):
    open(f"main-{first}{second}.xsd", "w").write(
        f'<xs:schema {XS} xmlns:t="urn:t" targetNamespace="urn:m">'
        f'<xs:import namespace="urn:t" schemaLocation="{first}.xsd"/><xs:import namespace="urn:t" schemaLocation="{second}.xsd"/>'
        '<xs:element name="w" type="t:Wort"/><xs:element name="z" type="t:Zahl"/></xs:schema>')
PY
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import re
from lxml import etree
for first, second in ("ab", "ba"):
    try:
        etree.XMLSchema(etree.parse(f"main-{first}{second}.xsd"))
        print(f"libxml2 types of {first} before {second}: compiles")
    except etree.XMLSchemaParseError as error:
        name = re.search(r"\{urn:t\}(\w+)' does not resolve", str(error))
        print(f"libxml2 types of {first} before {second}: does not resolve", name[1] if name else error)
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
