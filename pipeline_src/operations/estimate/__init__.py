"""Estimates what a study needs: each job on a cluster, and the whole before it is started."""
