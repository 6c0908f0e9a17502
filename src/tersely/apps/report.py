"""`report`: finished runs, compared."""

import sys

import hydra
from omegaconf import DictConfig

from tersely.config import CONF, load_for, register
from tersely.launch import guarded, mendable
from tersely.report_app import REPORT, overrides

register(REPORT)


def main(tree: DictConfig) -> None:
    """One report."""
    with mendable(REPORT):
        config = load_for(REPORT, tree)
        from tersely.analysis.report import make_report  # SciPy and matplotlib

        make_report(config)


def start() -> None:
    """Do what was typed."""
    sys.argv[1:] = overrides(sys.argv[1:])
    guarded(
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="report")(main), REPORT
    )
