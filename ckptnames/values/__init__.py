"""What tensors hold: read from the file a piece at a time, told apart by digests, and compared number by number."""
