"""TissQL: an SQL for documents that means the same on every engine."""
