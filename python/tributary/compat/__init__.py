"""Doors for code that was written for other libraries: flower, transformers, lightning."""
