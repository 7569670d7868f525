"""Measurements that take minutes: the queue, its bulkheads, a sustained run, the price of proof."""
