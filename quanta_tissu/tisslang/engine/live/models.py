"""Answers of models, as scripts ask for them."""
