"""Benchmarks, run by `deploy/bench NAME`: figures as ratios in one run, or against a stated target. Never tests."""
