"""Lesions and scores as counts: the true lesions, what a run leaves of every image, what both tell. Needs no torch."""
