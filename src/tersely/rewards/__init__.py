"""Rewards: one file a term, a mixture that adds them up."""
