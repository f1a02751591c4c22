"""Searches compared by replaying them on the table of recorded trainings."""
