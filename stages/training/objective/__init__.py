"""What a training minimises: `config` as a recipe says it, `loss` as it is computed, `phases` in which it changes."""
