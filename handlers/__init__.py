"""The doors and the wiring: what wakes the program."""
