"""The analysis: how sure one can be of what a set of runs shows.

Statistics here are pure functions of numbers, on NumPy and SciPy; import them where they are used.
"""
