"""Whole networks that compete beside the operator pairs: one method a file, its parts in `parts`."""
