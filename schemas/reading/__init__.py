"""Reading several tables at once, for the tables that are computed from them and for queries."""
