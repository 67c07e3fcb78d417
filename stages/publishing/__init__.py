"""What goes with the distilled dataset: its card, and its export to text."""
