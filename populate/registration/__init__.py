"""Registering files, entering the release's tables, and relocating files."""
