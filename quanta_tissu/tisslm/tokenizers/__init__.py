"""Text to token ids and back: characters, byte-level BPE, and adapters."""
