"""What people own: users, their tokens and what these used. Knows SQLite; knows no HTTP and no model."""
