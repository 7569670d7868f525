"""The wire of FIT-Connect v1 and v2."""
