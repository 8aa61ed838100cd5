"""Readers, one per concept: an open file in, data frames out."""
