"""The vault and the run store on the databases they are made for: SQLite and a real PostgreSQL."""
