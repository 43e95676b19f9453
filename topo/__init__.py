"""Topologies, the userspace mobile node, and the private lab for demos, system tests and benchmarks."""
