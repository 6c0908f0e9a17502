"""Where a run's numbers, tables and files are kept; the only place that knows MLflow.

Every tracker writes plain files into the run's own folder. The MLflow one sends the same
things to a store, so that nothing is lost when the store is.
"""

from tersely.tracking.config import MlflowTracking, NoTracking, TrackingConfig
from tersely.tracking.tracker import Tracker

__all__ = ["MlflowTracking", "NoTracking", "Tracker", "TrackingConfig"]
