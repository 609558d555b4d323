"""What the names of modules say, in the words of the field."""
