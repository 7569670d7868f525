"""The sealed door: what FIT-Connect clients send, collect and acknowledge. The hub never sees their contents."""
