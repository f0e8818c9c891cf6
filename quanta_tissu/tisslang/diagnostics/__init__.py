"""What is wrong with a script, where, and what to do about it."""
