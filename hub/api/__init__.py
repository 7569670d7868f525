"""The HTTP edge: one module per API, and the guards, contract checks and problem texts around them."""
