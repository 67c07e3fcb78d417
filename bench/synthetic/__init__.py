"""Stand-ins for the stages that need a model, as fast as arithmetic allows, for measuring all the others."""
