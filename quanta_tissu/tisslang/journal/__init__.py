"""What a run did: an append-only, hash-chained record; and the secrets that are kept out of it."""
