"""Reading labelled data: sources, column profiles, splits."""
