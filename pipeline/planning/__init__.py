"""What is done, what is to do, and why."""
