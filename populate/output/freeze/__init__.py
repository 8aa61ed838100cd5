"""Freezes: what a paper was made from, kept while the database goes on (`vbn freeze`)."""
