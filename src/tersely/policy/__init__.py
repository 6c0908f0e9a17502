"""The policy: loading checkpoints, the embedded tiny model, and scoring completions."""
