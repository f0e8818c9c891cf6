"""The meaning of scripts: an interpreter yields effects, and does nothing itself."""
