"""Business rules beside a schema (ISO/IEC 19757-3 Schematron)."""
