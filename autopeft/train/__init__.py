"""Training candidates, alone or in packs, with Lightning."""
