"""A trained network from its checkpoint file: score it on a data set, predict photographs, fuse it."""
