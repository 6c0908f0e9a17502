"""The trainer's own word on a completion: what a worker's log-probabilities are held against."""

import threading
from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from tersely.policy.load import Policy
from tersely.policy.logprobs import completion_logprobs
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.records import Score


class TrainerScorer:
    """Scores completions with the weights of a snapshot, whatever the trainer does meanwhile."""

    def __init__(self, policy: Policy, temperature: float) -> None:
        self._model, self._temperature = policy.twin(), temperature
        self._one_at_a_time = threading.Lock()
        # One for all calls: MLX keeps a thread for every stream until the process ends.
        self._stream = mx.new_thread_local_stream(mx.default_device())

    def of(self, snapshot: Snapshot) -> Score:
        """Log-probabilities under the weights of `snapshot`, at the sampling temperature; may be
        called in any thread."""

        def score(prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
            with self._one_at_a_time, mx.stream(self._stream):
                self._model.update(snapshot.parameters)
                scored = completion_logprobs(
                    self._model, [list(prompt)], [[list(completion)]], self._temperature
                )
                logprobs: Any = scored.logprobs[0, 0].tolist()
            return list(logprobs[: len(completion)])

        return score
