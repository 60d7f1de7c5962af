"""Networks and what they are saved as: no loss, no optimiser, no sampling.

Items: ``item_encoders``. Users: ``user_encoders`` over ``pinnerformer`` (``history``,
``time_encoding``, ``layers``). Rankers: ``ranker`` over ``transact``, ``dcn``, ``nearness`` and
``user_level``; ``scorer`` is a fitted ranker as serving calls it.
"""
