"""A sweep: the names of its folders, the result each job leaves, the report at its end.

Left out: anything that runs a job. Hydra starts the jobs, `tersely.run` does the work.
"""

from tersely.sweep.callback import SweepCallback
from tersely.sweep.names import job_slug, sweep_name
from tersely.sweep.result import JobResult

__all__ = ["JobResult", "SweepCallback", "job_slug", "sweep_name"]
