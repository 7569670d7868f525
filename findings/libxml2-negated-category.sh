#!/usr/bin/env bash
# What: lxml 6.1.3 (libxml2 2.14), an XSD pattern with a negated category inside a character class: [\P{Ll}][\p{Ll}]*
# ("anything but a small letter, then small letters").
# Guess: Hallo matches, as for xmlschema 4.3.2 (XML Schema part 2, appendix F).
# So: libxml2 judges it the other way round and refuses the valid Hallo; outside a class it reads \P right.
# Seen 2026-11-29:
#   libxml2 [\P{Ll}][\p{Ll}]* Hallo refused
#   libxml2 \P{Ll}[\p{Ll}]* Hallo valid
#   xmlschema [\P{Ll}][\p{Ll}]* Hallo valid
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.1.3 xmlschema==4.3.2
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import xmlschema
from lxml import etree
def schema(pattern):
    return ('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="e"><xs:simpleType><xs:restriction base="xs:string">'
            f'<xs:pattern value="{pattern}"/></xs:restriction></xs:simpleType></xs:element></xs:schema>')
IN, OUT = r"[\P{Ll}][\p{Ll}]*", r"\P{Ll}[\p{Ll}]*"
for pattern in (IN, OUT):
    valid = etree.XMLSchema(etree.fromstring(schema(pattern))).validate(etree.fromstring("<e>Hallo</e>"))
    print("libxml2", pattern, "Hallo", "valid" if valid else "refused")
print("xmlschema", IN, "Hallo", "valid" if xmlschema.XMLSchema(schema(IN)).is_valid("<e>Hallo</e>") else "refused")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
