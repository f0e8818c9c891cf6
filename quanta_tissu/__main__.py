"""`python -m quanta_tissu` is the `tissu` command."""

from quanta_tissu.cli import main

main()
