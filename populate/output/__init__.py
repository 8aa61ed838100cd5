"""What leaves: exports, tables in the terminal, explanations."""
