"""Parts of `bench/closed_loop.py`: users live with each arm, and the lives are compared."""
