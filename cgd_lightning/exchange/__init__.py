"""What exists goes in, what is made goes out: one file per foreign world."""
