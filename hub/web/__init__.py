"""What everybody who serves over HTTP has in common, without a framework: statuses and header fields, bodies in parts."""
