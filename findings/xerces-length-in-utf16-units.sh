#!/usr/bin/env bash
# What: Xerces-J 2.12.2 (xerces:xercesImpl), an element restricted to one character (xs:length value="1") that holds U+1D4B3.
# Guess: it is valid, for length counts characters (XML Schema part 2, 4.3.1), and this is one, outside the first plane.
# So: Xerces counts units of UTF-16 and refuses it; libxml2 (lxml 6.1.3) takes it. A limit of a name or an address thus differs.
# Seen 2026-11-30:
#   Xerces 2.12.2 X: valid
#   Xerces 2.12.2 U+1D4B3: cvc-length-valid
#   libxml2 X: valid
#   libxml2 U+1D4B3: valid
set -euo pipefail
script=$(realpath "$0")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact=xerces:xercesImpl:2.12.2 -DoutputDirectory="$dir" >/dev/null
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lxml==6.1.3
cat > one.xsd <<'XSD'
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="one"><xs:simpleType><xs:restriction base="xs:string">
<xs:length value="1"/></xs:restriction></xs:simpleType></xs:element></xs:schema>
XSD
cat > One.java <<'JAVA'
import java.io.File;
import java.io.StringReader;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.Schema;
import org.xml.sax.SAXException;

class One {
    public static void main(String[] arguments) throws Exception {
        Schema schema = new org.apache.xerces.jaxp.validation.XMLSchemaFactory().newSchema(new File("one.xsd"));
        for (String[] each : new String[][] {{"X", "X"}, {"U+1D4B3", "&#x1D4B3;"}}) {
            String said = "valid";
            try {
                schema.newValidator().validate(new StreamSource(new StringReader("<one>" + each[1] + "</one>")));
            } catch (SAXException error) {
                said = error.getMessage().split(":")[0];
            }
            System.out.println("Xerces 2.12.2 " + each[0] + ": " + said);
        }
    }
}
JAVA
{
    java -cp xercesImpl-2.12.2.jar One.java
    venv/bin/python - <<'PY'
from lxml import etree
schema = etree.XMLSchema(etree.parse("one.xsd"))
for name, text in (("X", "X"), ("U+1D4B3", "&#x1D4B3;")):
    print(f"libxml2 {name}:", "valid" if schema.validate(etree.fromstring(f"<one>{text}</one>")) else "refused")
PY
} | tee seen
diff seen <(sed -n 's/^#   //p' "$script")
