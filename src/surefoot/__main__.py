"""`python -m surefoot` is the program `surefoot`."""

from surefoot.cli import main

main()
