"""Mobile IPv6 (RFC 6275) protocol core: standard library only, no I/O, no clock, no randomness of its own."""
