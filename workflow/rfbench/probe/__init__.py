"""The probe: whether an operator pair lets tiny activations survive, where the size of what is planted is known."""
