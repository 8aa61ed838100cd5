"""What the units of one session have in common: correlations of pairs, and dimensions of populations."""
