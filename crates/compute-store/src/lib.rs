//! The database: one implementation for SQLite and PostgreSQL.
