"""Rows: converting data frames, checking column limits, and inserting and fetching in bulk."""
