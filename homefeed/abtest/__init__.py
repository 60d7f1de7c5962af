"""A/B tests: definition → assignment → exposure → analysis → verdict (DESIGN section 9).

Fixed horizon, one look at the end. CUPED and always-valid intervals are not built yet.
"""
