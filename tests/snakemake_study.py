"""The study that tests run with Snakemake; each adds what it trains, and for how long."""

from __future__ import annotations

BASE = """
study: tiny
accelerations: [4]
datasets:
  heart:
    source: {kind: phantom, anatomy: cardiac, patients: 4, slices: 2, matrix: 32}
    preparation: {matrix: [32, 32]}
    split: {train: 2, validation: 1, test: 1}
sampling: {center_lines: 4}
networks:
  teacher: {depth: 3, cascades: 3, features: 16}
  student: {depth: 2, cascades: 3, features: 16}
"""
