"""Bytes to values and back: IPv6 headers, Mobility Header, ICMPv6. Any bytes give a value or ParseError."""
