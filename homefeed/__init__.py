"""Homefeed: raw user actions in, an A/B-tested ranker out, every step a versioned pipeline."""

__version__ = "0.1.0"
