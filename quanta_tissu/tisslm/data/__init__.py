"""Corpora, splits, memory-mapped token files, and the batches cut from them."""
