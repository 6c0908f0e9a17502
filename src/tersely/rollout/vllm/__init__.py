"""Rollouts sampled by vLLM servers, over HTTP: who samples what, with which weights, and what
happens when a server does not."""
