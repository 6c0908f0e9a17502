"""Compare finished runs: `python report.py sweep=NAME`. See `--help`."""

try:
    from tersely.apps.report import start
except ModuleNotFoundError as missing:
    if missing.name != "tersely":
        raise
    raise SystemExit(
        "Error: tersely is not installed for this Python. `sh setup.sh` installs it into .venv; "
        "then: .venv/bin/python report.py"
    ) from None

if __name__ == "__main__":
    start()
