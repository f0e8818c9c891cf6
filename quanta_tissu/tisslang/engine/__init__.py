"""Runs a script: an interpreter yields effects, drivers perform, replay or plan them."""
