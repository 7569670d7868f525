"""The API of administrators: routing tables, destinations, clients, persons, dead letters."""
