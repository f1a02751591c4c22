"""A table of recorded trainings, on which searches are replayed in seconds."""
