"""Making the tables and bringing them up to date: activation, numbered changes, rows that come with them."""
