"""Registering: files, the release's tables, and where files have moved."""
