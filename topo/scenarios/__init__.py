"""Scenarios: each is a demo to watch and, by its figures and its exit status, a test."""
