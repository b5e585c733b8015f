"""The command line, as a module that is run."""

from stillroom.cli import main

main()
