"""The way out: which addresses may be reached, how names are looked up, and the one dialler of all connections.

``addresses`` judges addresses, ``hosts`` names and URLs, ``resolving`` looks names up within bounds, ``connection`` dials.
"""
