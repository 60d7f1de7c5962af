"""Placeholder."""


def add(parsers):
    """Add."""
