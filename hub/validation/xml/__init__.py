"""XML documents and their schemas (XML Schema 1.0 and 1.1, XÖV)."""
