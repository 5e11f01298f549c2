"""Checks that a study can run here, on this machine or on its cluster, before anything is spent."""
