"""The forward pass of the fast engine for generation: compiled decoding steps, and prompts read by all cores."""
