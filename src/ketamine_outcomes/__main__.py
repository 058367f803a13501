"""`python -m ketamine_outcomes` is the command `ketamine-outcomes`."""

from ketamine_outcomes.cli import main

main()
