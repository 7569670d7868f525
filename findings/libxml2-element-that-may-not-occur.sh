#!/usr/bin/env bash
# What: lxml 6.1.3 (libxml2 2.14), an XSD content model with an element that was taken out by minOccurs="0" maxOccurs="0", as
# restrictions of German XÖV standards do it.
# Guess: the element may not stand there (XML Schema part 1, 3.9.1: such a particle is no component at all), as for xmlschema 4.3.2.
# So: libxml2 lets an element occur once all the same; a group or a wildcard that may not occur it reads right.
# Seen 2026-11-30:
#   libxml2 element valid
#   libxml2 sequence refused
#   libxml2 wildcard refused
#   xmlschema element refused
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.1.3 xmlschema==4.3.2
"$dir/venv/bin/python" - <<'PY' | tee "$dir/seen"
import xmlschema
from lxml import etree
NEVER = 'minOccurs="0" maxOccurs="0"'
PARTICLES = {
    "element": f'<xs:element name="b" {NEVER}/>',
    "sequence": f'<xs:sequence {NEVER}><xs:element name="b"/></xs:sequence>',
    "wildcard": f'<xs:any {NEVER} processContents="skip"/>',
}
def schema(particle):
    return ('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence>'
            f'<xs:element name="a"/>{particle}</xs:sequence></xs:complexType></xs:element></xs:schema>')
WITH = "<r><a/><b/></r>"
for name, particle in PARTICLES.items():
    valid = etree.XMLSchema(etree.fromstring(schema(particle))).validate(etree.fromstring(WITH))
    print("libxml2", name, "valid" if valid else "refused")
print("xmlschema element", "valid" if xmlschema.XMLSchema(schema(PARTICLES["element"])).is_valid(WITH) else "refused")
PY
diff "$dir/seen" <(sed -n 's/^#   //p' "$script")
