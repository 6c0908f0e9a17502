"""What `benchmarks/miniature.py` is made of."""
