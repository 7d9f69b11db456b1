"""`python -m drd` is `drd`."""

from drd.cli import main

main()
