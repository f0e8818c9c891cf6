"""TissLM: a decoder-only language model built from scratch on NumPy."""
