"""IPsec between mobile nodes and the home agent, with static keys (RFC 3776, RFC 4877)."""
