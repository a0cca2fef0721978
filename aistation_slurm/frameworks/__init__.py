"""Checkpoints for the frameworks that trainings are written in: one file each, Python 3.9 and newer.

Each can be copied beside a training, together with `checkpoint.py`. The package itself imports none of the frameworks.
"""
