"""`python -m aistation_slurm` is `aistation`."""

from aistation_slurm.cli.main import main

if __name__ == "__main__":
    main()
