"""Judges: faithfulness, coverage, conciseness and clarity of summaries, in rounds."""
