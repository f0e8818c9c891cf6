"""Runs of scripts: an interpreter is driven; its effects are done, recorded, asked about or replayed."""
