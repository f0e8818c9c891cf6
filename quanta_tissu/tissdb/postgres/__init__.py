"""The engine for more than one machine: PostgreSQL with pgvector, through psycopg 3."""
