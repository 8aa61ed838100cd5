"""Creating and upgrading the tables: activation, numbered layout changes, default rows."""
