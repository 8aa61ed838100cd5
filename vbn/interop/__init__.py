"""Spikes, intervals, tables and matrices as other tools have them; these are imported where they are used."""
