"""Train a policy by a reward: `python train.py`, or a sweep with `-m`. See `--help`."""

try:
    from tersely.apps.train import start
except ModuleNotFoundError as missing:
    if missing.name != "tersely":
        raise
    raise SystemExit(
        "Error: tersely is not installed for this Python. `sh setup.sh` installs it into .venv; "
        "then: .venv/bin/python train.py"
    ) from None

if __name__ == "__main__":
    start()
