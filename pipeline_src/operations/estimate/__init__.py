"""What a study takes: of each job for the cluster, and of the whole before it is started."""
