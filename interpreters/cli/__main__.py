"""``python -m interpreters.cli``: the command line without its script."""

from interpreters.cli import main

main()
