"""Spike trains, counts in windows and bins, averages around events, populations."""
