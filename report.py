"""Compare finished runs: `python report.py sweep=NAME`. See `--help`."""

from tersely.apps.report import start

if __name__ == "__main__":
    start()
