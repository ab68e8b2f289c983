"""One training: the command, its work folder that survives, its time limit, its ImageNet weights."""
