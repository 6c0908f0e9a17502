"""Rollouts: who samples completions, with which weights, and when."""
