"""The parts of `benchmarks/peers.py`; each `*_engine` module runs in its peer's environment."""
