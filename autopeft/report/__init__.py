"""Tables and cards, made from records only."""
