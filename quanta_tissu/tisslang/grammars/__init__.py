"""Grammars of the language in other notations, made from the one table of commands."""
