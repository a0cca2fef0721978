"""The rules of submission: the files of job_submit.lua and cli_filter.lua, and the table that they read."""
