"""Being a client of an OpenID Connect provider (Core 1.0, Discovery 1.0, RFC 7636, RFC 9207): the hub's and the portal's."""
