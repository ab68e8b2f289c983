"""Data sets: their raw layouts, their preparation into one form, reading and showing it."""

SPLITS = ("train", "val", "test")
