"""Importing malicious files."""
