"""The command `report` as Hydra knows it."""

import re
from collections.abc import Sequence

from tersely.analysis.config import ReportConfig
from tersely.config import GROUPS, App

EXPERIMENT = re.compile("^experiment=")

USAGE = """How the runs compare, and how sure that is: a page, its tables, tests and pictures.

Usage: {me} sweep=NAME                     a sweep, by its folder under multirun/
       {me} runs=[FOLDER_OR_ID,...]        runs, by folder or MLflow id
       {me} experiment=NAME                all runs of an MLflow experiment
       {me} published                      the study's own numbers, read again

Groups:
{groups}

Values:
  baseline   what the others are compared with: a run's folder or id, or a configuration's name;
             without it reward=length, or the policy before training where no run has that
  evaluation the evaluation (of `evaluate`) whose summaries are compared, as test/plain; without it
             those of the end of training
  output     the report's folder; without it report/ in the sweep's folder, or multirun/reports/NAME
  folder     where sweeps are; multirun
"""

REPORT = App("report", "report_schema", ReportConfig, {"tracking": GROUPS["tracking"]}, USAGE)


def overrides(words: Sequence[str]) -> list[str]:
    """What one types, as Hydra takes it.

    A word by itself is no override, and `experiment=` would choose a preset of `train`: any
    name that has a folder in conf/ is a group to Hydra, in every command.
    """
    return [
        "published=true" if word == "published" else EXPERIMENT.sub("experiment_name=", word)
        for word in words
    ]
