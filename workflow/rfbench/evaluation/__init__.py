"""Networks held against label maps: one image, a run of the pipeline, a foreign checkpoint, any photograph."""
