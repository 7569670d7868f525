"""The client of a hub and of any FIT-Connect delivery service; a distribution of its own, ``rathaus-hub-client``.

``plain`` speaks to the hub's plain door, ``fit_connect`` to the sealed one, as a sender and as a subscriber. Both go by a
``session``, which takes a ``transport``, keeps the token and judges answers. ``contents`` seals and opens,
``event_tokens`` reads and signs events, ``verification`` judges what proves a submission. Nothing here knows the server, and
nothing is imported before it is asked for.
"""
