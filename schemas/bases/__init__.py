"""What tables have in common: parameter sets, provenance, imports from files, issues, unique ids."""
