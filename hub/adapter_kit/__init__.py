"""Trying an adapter, one of this package or anybody's, against receiving systems that fail in every known way.

``cases`` is the table of situations, ``trial`` says how an adapter is configured for it, ``check`` runs it; a *bench* for
each family of receiving systems (``web``, ``fit``, ``drop``, ``post``, ``files``, ``shell``) plays the other side on loopback.
"""
