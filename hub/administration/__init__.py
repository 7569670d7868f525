"""What administrators do: destinations, keys, adapters, clients, routing tables, dead letters, backups."""
