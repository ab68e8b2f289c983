"""What a network costs: parameters, FLOPs, memory and speed."""
