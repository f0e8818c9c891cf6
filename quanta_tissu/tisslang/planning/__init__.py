"""What a script would do: plans, capabilities that can be locked, pictures of its course."""
