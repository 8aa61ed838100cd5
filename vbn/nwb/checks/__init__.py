"""Checks that find issues in a file."""
