"""What is known of torch: its modules and containers, its tensors, and the functions that touch them."""
