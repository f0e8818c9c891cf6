"""Decoding: the sampler chain, the key-value cache, batches of prompts, streaming."""
