"""Evaluation: greedy summaries and what is measured of them."""
