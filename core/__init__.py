"""What the program knows: planning (pure) and the run of one org (against ports)."""
