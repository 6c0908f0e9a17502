"""Every error that Tersely raises on purpose.

    TerselyError
    ├── ConfigError          a wrong value, key or combination in the configuration
    ├── DataError            a data source that is missing, unreadable or empty
    ├── ModelError           a checkpoint that cannot be loaded or cannot serve
    ├── CorpusMissing        a corpus that a metric needs (WordNet) is not on this machine
    ├── RolloutError         sampling failed; the message names the cause
    │   └── SyncNotApplied   a worker does not sample with the weights that it was given
    ├── JudgeError           a judge could not be asked, or too many of its verdicts are missing
    ├── TrainingDiverged     a loss, gradient or reward that is not a finite number
    ├── CheckpointError      a checkpoint that cannot be written
    ├── CheckFailed          a self-check has found something, and checks.strict=true
    └── TrackingError        the run store cannot be written

A message says what is wrong, why it matters and what to set instead; the entry scripts print
it as one paragraph and leave with exit code 2. Everything else is a defect and keeps its
traceback.
"""


class TerselyError(Exception):
    """What a user can mend; shown without a traceback."""


class ConfigError(TerselyError):
    """A wrong value, key or combination in the configuration."""


class DataError(TerselyError):
    """A data source that is missing, unreadable or empty."""


class ModelError(TerselyError):
    """A checkpoint that cannot be loaded or cannot serve as a policy."""


class CorpusMissing(TerselyError):
    """A corpus that a metric needs is not on this machine."""


class RolloutError(TerselyError):
    """Sampling failed."""


class SyncNotApplied(RolloutError):
    """A worker does not sample with the weights that it was given."""


class JudgeError(TerselyError):
    """A judge could not be asked, or too many of its verdicts are missing."""


class TrainingDiverged(TerselyError):
    """A loss, a gradient or a reward is not a finite number."""


class CheckpointError(TerselyError):
    """A checkpoint cannot be written."""


class CheckFailed(TerselyError):
    """A self-check has found something, and `checks.strict` makes that an error."""


class TrackingError(TerselyError):
    """The run store cannot be written."""


class RunStopped(KeyboardInterrupt):
    """Somebody asked the run to stop, and it did so between two steps, with a checkpoint."""

    def __init__(self, what_is_kept: str, number: int) -> None:
        """`number` is the signal that asked."""
        super().__init__(what_is_kept)
        self.number = number
