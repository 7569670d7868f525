"""Who is there: what counts failed log-ins, whoever tries to log in."""
