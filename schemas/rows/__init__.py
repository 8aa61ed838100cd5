"""Rows: from data frames, within the columns' limits, inserted and fetched by the thousand."""
