"""The page for clerks: a small site of the connector's own, on loopback unless TLS files are set, for people who decide.

It shows what only this house can open, so nothing of it is ever cached, nothing comes from elsewhere, and there is no script at
all. What it does goes through the desk (:mod:`hub.connector.desk`), like everything that the local system does.
"""
