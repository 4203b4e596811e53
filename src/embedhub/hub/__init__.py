"""What people own: users, their tokens and what these used, their files. Knows SQLite; knows no HTTP and no model."""
