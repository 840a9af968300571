"""What a configuration may say, and the parsers that read it: jsonargparse behind one gate."""
