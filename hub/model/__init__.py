"""What the hub speaks of: parties, applications and submissions, events, deliveries. Frozen values and pure decisions."""
