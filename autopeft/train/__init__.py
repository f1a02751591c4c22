"""Training one candidate with Lightning."""
