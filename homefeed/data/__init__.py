"""From a log to what models read: contract → checks → sequences → training set.

``contract`` and ``adapters`` bring a log into one form, ``checks`` set bad rows aside,
``sequences`` is the store of users' timelines, ``splits`` cuts time and users. A ranker's training
set starts in ``ranking_rows`` or ``sampled_rows`` and is put together in ``build_training_set``.
``world`` is the synthetic log that ships with the code.
"""
