"""What is known of Python itself, of its standard library, and of a few packages that many models use."""
