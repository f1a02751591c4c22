"""Every method on the same tasks: accuracy, trained and stored size, time."""
