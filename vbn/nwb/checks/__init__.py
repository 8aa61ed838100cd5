"""What is odd in a file: the codes of issues, and what finds them."""
