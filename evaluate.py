"""Score a run, a checkpoint or a model as it is: `python evaluate.py --help`."""

try:
    from tersely.apps.evaluate import start
except ModuleNotFoundError as missing:
    if missing.name != "tersely":
        raise
    raise SystemExit(
        "Error: tersely is not installed for this Python. `sh setup.sh` installs it into .venv; "
        "then: .venv/bin/python evaluate.py"
    ) from None

if __name__ == "__main__":
    start()
