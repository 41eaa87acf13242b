"""The rule book as columns: a pure function of (org snapshot, config, planning date)."""
