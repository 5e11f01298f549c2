"""Measurements of speed; they pass no judgement and are no tests."""
