"""What a network costs: parameters, FLOPs, memory and speed, and what a configuration will take."""
