"""What can be said of a script before it runs."""
