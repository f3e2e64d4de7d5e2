"""Checks, in a real test organisation, of what only AWS can tell (docs/unproven.md); see README.md above."""
