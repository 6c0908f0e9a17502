"""What a measuring process says of a kind of job."""

from dataclasses import dataclass

from tersely.evaluation.judges.verdicts import Judged


@dataclass(frozen=True)
class Facts:
    """What is known of a job once its data and its model are loaded."""

    train: int
    """Prompts of the training split."""
    validation: int
    """Prompts that a look at the validation split asks; 0 where nobody looks."""
    test: int
    """Prompts of the test split."""
    data: str
    """Fingerprint."""
    model: str
    """Fingerprint."""
    seconds: float
    """That loading took, once everything was on this machine."""
    posts: tuple[Judged, ...]
    """Some of the test split, with references in place of summaries."""


@dataclass(frozen=True)
class Step:
    """One step, from the end of the step before."""

    seconds: float
    sampled: int
    """Tokens that were drawn."""
    learned: int
    """Tokens that the loss has seen, each as often as it was passed over."""
    length: float
    """Mean length of a completion, in tokens."""


@dataclass(frozen=True)
class Measured:
    """What a kind of job costs on this machine."""

    first: Step
    """Warms up, and nothing was sampled before it."""
    steps: tuple[Step, ...]
    """Those after it; none where a stage has one step."""
    summaries: int
    summary_s: float
    """Seconds for a summary of the test split and its scores, one of a batch."""
    mlx_bytes: int
    """Most that MLX had in use."""
    process_bytes: int
    """Most that the process had in memory."""
    parameters: int
    state_bytes: int
    """What a checkpoint has beside the policy: weights as they are kept, and the optimizer."""
