"""The commands as Hydra applications, one a module; `command.py` and the entry scripts start them.

A `main` is a plain function of its module, so that a launcher's workers find it by its name.
"""
