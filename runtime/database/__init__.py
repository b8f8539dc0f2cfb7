"""The one database: SQLite, or PostgreSQL by URL, with its migrations."""
