"""Studies that compare several trainings or bundles: one command makes one table of a RESULTS.md."""
