"""Tersely: which reward signal makes a tiny language model write the best short summary."""

__version__ = "0.1.0"
