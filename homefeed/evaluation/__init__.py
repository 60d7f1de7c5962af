"""How good an encoder or a ranker is, on users and time that it was not fitted on.

Encoders: ``cases`` (what is asked) → ``refresh`` (as of when) → ``scorers`` or ``baselines`` →
``metrics`` → ``report``. Rankers: ``ranking`` with ``ranking_metrics``. Intervals: ``bootstrap``.
"""
