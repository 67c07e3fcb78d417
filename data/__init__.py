"""The contract: what an artefact looks like and how it is kept."""
