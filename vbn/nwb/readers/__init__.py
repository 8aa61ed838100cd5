"""Readers, one per concept, that take an open file and return data frames."""
