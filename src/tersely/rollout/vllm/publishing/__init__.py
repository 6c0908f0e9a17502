"""The way of the weights from the trainer to its workers, and the proof that they arrived."""
