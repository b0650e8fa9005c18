"""Sequences, one module for each group; a module's first line says what the group is about."""
