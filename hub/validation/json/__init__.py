"""JSON documents and their schemas (JSON Schema 2020-12, FIM)."""
