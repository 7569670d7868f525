"""``make crash``: kills, outages and full disks under load, and at the end an account of every acknowledged application."""
