#!/usr/bin/env bash
# What: lxml 6.1.3 (libxml2 2.14), an XSD pattern \p{L}+ for letters, and the German name MEIẞNER with the capital sharp s (U+1E9E,
# in Unicode since 5.1 of 2008, in German spelling since 2017, in DIN 91379).
# Guess: it is a letter. So: libxml2's tables of categories are older and refuse it; xmlschema 4.3.2 takes it.
# Seen 2026-11-29:
#   libxml2 MEISSNER valid
#   libxml2 MEIẞNER refused
#   xmlschema MEIẞNER valid
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.1.3 xmlschema==4.3.2
PYTHONUTF8=1 "$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import xmlschema
from lxml import etree
XSD = (r'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="e"><xs:simpleType><xs:restriction base="xs:string">'
       r'<xs:pattern value="\p{L}+"/></xs:restriction></xs:simpleType></xs:element></xs:schema>')
for name in ("MEISSNER", "MEI\u1e9eNER"):
    valid = etree.XMLSchema(etree.fromstring(XSD)).validate(etree.fromstring(f"<e>{name}</e>"))
    print("libxml2", name, "valid" if valid else "refused")
print("xmlschema MEI\u1e9eNER", "valid" if xmlschema.XMLSchema(XSD).is_valid("<e>MEI\u1e9eNER</e>") else "refused")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
