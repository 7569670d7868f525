#!/usr/bin/env bash
# What: lxml 6.1.3 (libxml2 2.14), an element of type xs:boolean with fixed="true".
# Guess: <e>1</e> is valid, for 1 and true are the same boolean (XML Schema part 1, 3.3.4: values are compared).
# So: libxml2 compares the text and refuses it; xmlschema 4.3.2 takes it.
# Seen 2026-11-29:
#   libxml2 true valid
#   libxml2 1 refused
#   xmlschema true valid
#   xmlschema 1 valid
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.1.3 xmlschema==4.3.2
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import xmlschema
from lxml import etree
XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="e" type="xs:boolean" fixed="true"/></xs:schema>'
fast, second = etree.XMLSchema(etree.fromstring(XSD)), xmlschema.XMLSchema(XSD)
for text in ("true", "1"):
    print("libxml2", text, "valid" if fast.validate(etree.fromstring(f"<e>{text}</e>")) else "refused")
for text in ("true", "1"):
    print("xmlschema", text, "valid" if second.is_valid(f"<e>{text}</e>") else "refused")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
