"""Delivery: due deliveries are claimed, attempted by a destination's adapter, and recorded."""
