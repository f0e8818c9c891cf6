"""QuantaTissu: a language-model laboratory that can be read to the bottom and put to work."""

__version__ = "0.1.0"
