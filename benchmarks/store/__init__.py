"""The answer store: kills without end, and its speed beside Zarr and SQLite."""
