"""Sweeps: one training over many sets of parameters, as an array of jobs, each member an ordinary run of a template.

`members` says what is tried, `folder` what is kept of it, `start` submits it, `look` and `table` say how it stands,
`retry` starts again what failed.
"""
