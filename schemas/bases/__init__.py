"""What tables share: parameter sets, provenance, imports from files, issues, unique ids."""
