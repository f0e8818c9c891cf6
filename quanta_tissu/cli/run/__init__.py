"""`tissu run`, `tissu resume` and `tissu replay`: scripts of TissLang at work."""
