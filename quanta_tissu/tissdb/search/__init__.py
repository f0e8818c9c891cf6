"""Search: full text, vectors, and both together."""
