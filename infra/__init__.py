"""Everything outside: bucket, bus, sqlite3_rsync, the org database, settings, telemetry."""
