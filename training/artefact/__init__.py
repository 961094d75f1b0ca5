"""The model artefact: what is in it, how it is exported, and how it answers."""
