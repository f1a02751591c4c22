"""A pretrained model as plain numbers, roles and heads."""
