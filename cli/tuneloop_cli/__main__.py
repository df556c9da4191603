"""`python -m tuneloop_cli` is `tuneloop`."""

from tuneloop_cli.main import main

main()
