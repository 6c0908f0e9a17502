"""Training: stages, the loop, and one update."""
