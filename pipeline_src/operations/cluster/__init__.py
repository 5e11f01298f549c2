"""Runs a study on a SLURM cluster: checks before the start, and supervises the run."""
