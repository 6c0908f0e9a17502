"""Asking workers: a group is spread over all that can be asked, and comes back whole."""
