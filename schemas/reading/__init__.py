"""Reading several tables together, for computed tables and queries."""
