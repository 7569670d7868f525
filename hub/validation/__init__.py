"""Validation: is this payload readable, and does it keep its schema?

``catalog`` knows which schemas there are and checks payloads against them; ``xml`` and ``json`` read and judge one
document each; ``report`` is the answer; ``imports`` brings official packages in. No other room imports lxml
or xmlschema, and nothing here touches the network.
"""
