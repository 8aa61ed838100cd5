"""Output: exports, tables in the terminal, explanations."""
