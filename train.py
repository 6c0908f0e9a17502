"""Train a policy by a reward: `python train.py`, or a sweep with `-m`. See `--help`."""

from tersely.apps.train import start

if __name__ == "__main__":
    start()
