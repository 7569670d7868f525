"""The sealed door: what FIT-Connect's clients do with submissions, replies, cases and destinations.

Everything here speaks of ciphertext: JWE headers and tags, states, events, keys. HTTP stands one floor above (``hub.api``), SQL
one floor below (``hub.store``). Time comes in as ``now``, the caller as :class:`hub.clients.Caller`.
"""
