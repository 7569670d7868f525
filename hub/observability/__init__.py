"""What operators see of a process: logs, metrics, traces; and what nobody may see of it (core dumps)."""
