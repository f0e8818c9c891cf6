"""The language server: what editors ask while a script is written."""
