"""Ways into receiving systems: one file, one adapter, loaded by its entry point in the group ``hub.adapters``.

The contract is :class:`hub.model.delivery.Adapter`; ``tests/adapters/contract.py`` shows what every adapter has to get right.
Adapters do not know each other, and the hub never imports one.
"""
