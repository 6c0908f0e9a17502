"""Self-checks: what silently ruins a run is noticed while it happens. See docs/checks.md."""
