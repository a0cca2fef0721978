"""The site's own slurm.conf: what it says, what it must say, and edits of single lines that can be taken back."""
