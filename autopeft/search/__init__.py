"""The search: space, study, rungs, selection. Knows nothing of training."""
