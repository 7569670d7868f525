"""SOAP as XTA speaks it: envelopes are written as text, answers are read within bounds. Nothing here opens a connection."""
