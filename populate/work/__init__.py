"""Everything that makes rows: jobs, runs, workers, and how far they are."""
