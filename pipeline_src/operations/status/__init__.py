"""Reads from files what every training of a study is doing, and shows it."""
