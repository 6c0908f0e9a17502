"""The objective: advantages and losses, pure functions of numbers."""
