"""Migrations of the store's tables, additive first: a new version runs on the old tables until all nodes have it."""
