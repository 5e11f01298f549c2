"""Running a study on a SLURM cluster: what is checked before, and who watches over it."""
