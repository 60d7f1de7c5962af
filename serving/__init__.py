"""Two BentoML services: HTTP, features and retrieval on the CPU, and the scorer.

A request's way: ``http`` → ``request_path`` (``assignment``, ``user_state``, ``candidates``,
``scoring``, ``answer``) → ``log_writer``. What is served follows the ledger in ``catalog``; ``run``
starts and stops a server.
"""
