"""Data sets: their raw layouts, their preparation into one form, and the names both share."""

LESIONS = ("EX", "HE", "SE", "MA")
"""Lesions of IDRiD and DDR in painting order: label value = index + 1, and a later class overwrites an earlier one."""

SPLITS = ("train", "val", "test")
