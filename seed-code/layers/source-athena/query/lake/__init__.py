"""What the step Query does: ask the catalog, write one statement, have Athena answer it, and keep what came out."""
