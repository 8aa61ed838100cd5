"""Everything that makes rows: jobs, runs, workers, and their progress."""
