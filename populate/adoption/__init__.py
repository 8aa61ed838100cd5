"""Adopting the sessions of a published folder into a database (`vbn adopt`)."""
