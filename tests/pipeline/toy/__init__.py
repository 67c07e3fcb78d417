"""A small pipeline of stages that need no library, to test what runs them."""
