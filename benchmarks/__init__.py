"""Programs that measure; each says in its first lines what, and how it is called."""
