"""Loss, perplexity and bits per byte, and the floors that a model has to beat."""
