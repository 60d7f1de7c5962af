"""A/B tests: definition → assignment → exposure → analysis → verdict.

Fixed horizon, one look at the end. CUPED and always-valid intervals are not built yet.
"""
