"""The embedded engine: SQLite through APSW, one file, in write-ahead mode."""
