"""What a configuration will take, estimated on this machine before anything starts."""
