"""Compare finished runs: `python report.py sweep=NAME`. See `--help`."""

import sys

import hydra
from omegaconf import DictConfig

from tersely.config import load_for, register
from tersely.launch import guarded, mendable
from tersely.report_app import REPORT, overrides

register(REPORT)


@hydra.main(version_base="1.3", config_path="conf", config_name="report")
def main(tree: DictConfig) -> None:
    """One report."""
    with mendable(REPORT):
        config = load_for(REPORT, tree)
        from tersely.analysis.report import make_report  # SciPy and matplotlib

        make_report(config)


if __name__ == "__main__":
    sys.argv[1:] = overrides(sys.argv[1:])
    guarded(main, REPORT)
