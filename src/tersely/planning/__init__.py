"""A dry run: which jobs a command stands for, what they share, and what they will cost."""
