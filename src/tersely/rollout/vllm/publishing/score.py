"""The trainer's own word on a completion: what a worker's log-probabilities are held against."""

import threading
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from tersely.policy.load import Policy
from tersely.rollout.decode import Transform
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.records import Score


class TrainerScorer:
    """Scores completions with the weights of a snapshot, whatever the trainer does meanwhile."""

    def __init__(self, policy: Policy, temperature: float) -> None:
        self._model, self._transform = policy.twin(), Transform(temperature)
        self._one_at_a_time = threading.Lock()
        # One for all calls: MLX keeps a thread for every stream until the process ends.
        self._stream = mx.new_thread_local_stream(mx.default_device())

    def of(self, snapshot: Snapshot) -> Score:
        """Log-probabilities under the weights of `snapshot`, at the sampling temperature; may be
        called in any thread."""

        def score(prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
            with self._one_at_a_time, mx.stream(self._stream):
                self._model.update(snapshot.parameters)
                return self._score(prompt, completion)

        return score

    def _score(self, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
        """One plain pass: for a single short row that is faster than what training does, and it
        stands apart from the code that it helps to check."""
        logits = self._model(mx.array([[*prompt, *completion[:-1]]]))[0, len(prompt) - 1 :]
        chosen = mx.array(list(completion))[:, None]
        logprobs: Any = mx.take_along_axis(self._transform.logprobs(logits), chosen, -1)
        scored: list[float] = logprobs.squeeze(-1).tolist()
        return scored
