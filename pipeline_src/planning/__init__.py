"""Derives what a study trains, and which settings and code define each of its results."""
