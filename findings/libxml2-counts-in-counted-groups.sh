#!/usr/bin/env bash
# What: lxml 6.1.3 (libxml2 2.14), an XSD content model in which a group that occurs at most twice holds another that does:
# ((a{0,2} | b){1,2}, c?){1,2}, written as sequences and choices with minOccurs and maxOccurs.
# Guess: c c b is too much, for b would begin the outer group a third time; xmlschema 4.3.2 and Xerces-J refuse it.
# So: libxml2 takes it: where the inner group is left empty, the outer one is not counted. Without the inner count it is right.
# Seen 2026-11-30:
#   libxml2 nested c c valid
#   libxml2 nested c c b valid
#   libxml2 plain c c b refused
#   xmlschema nested c c b refused
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.1.3 xmlschema==4.3.2
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import xmlschema
from lxml import etree
def schema(inner):
    return ('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence maxOccurs="2">'
            f'{inner}<xs:element name="c" minOccurs="0"/></xs:sequence></xs:complexType></xs:element></xs:schema>')
NESTED = '<xs:choice maxOccurs="2"><xs:element name="a" minOccurs="0" maxOccurs="2"/><xs:element name="b"/></xs:choice>'
PLAIN = '<xs:element name="b" minOccurs="0"/>'
for name, inner, word in (("nested", NESTED, "cc"), ("nested", NESTED, "ccb"), ("plain", PLAIN, "ccb")):
    document = f"<r>{''.join(f'<{letter}/>' for letter in word)}</r>"
    valid = etree.XMLSchema(etree.fromstring(schema(inner))).validate(etree.fromstring(document))
    print("libxml2", name, *word, "valid" if valid else "refused")
valid = xmlschema.XMLSchema(schema(NESTED)).is_valid("<r><c/><c/><b/></r>")
print("xmlschema nested c c b", "valid" if valid else "refused")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
