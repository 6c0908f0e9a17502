"""Where examples come from: the embedded corpus, its exact scores, and other sources."""
