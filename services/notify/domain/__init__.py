"""Pure rules of the courier."""
