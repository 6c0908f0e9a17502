"""Score a run, a checkpoint or a model as it is: `python evaluate.py --help`."""

from tersely.apps.evaluate import start

if __name__ == "__main__":
    start()
