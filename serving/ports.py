"""Which port a server may have."""

import random
import socket
from contextlib import suppress

from homefeed.errors import ServerError

# The system picks from above these for whoever asks for any port. Bento's supervisor asks twice
# while it starts, before it binds the server's own port: now and then it was given just that one.
_NEVER_PICKED_BY_THE_SYSTEM = range(20_000, 32_768)
_TRIES = 100


def free_port(host: str, wanted: int = 0) -> int:
    """``wanted`` where it is free, otherwise another (0: any).

    Raises ServerError where none is, as on a host that is not this machine.
    """
    drawn = random.SystemRandom().sample(_NEVER_PICKED_BY_THE_SYSTEM, _TRIES)
    tried = [wanted, *drawn] if wanted else drawn
    for port in tried:
        with suppress(ServerError):
            refuse_busy(host, port)
            return port
    refuse_busy(host, tried[0])  # says why
    return tried[0]  # it has become free


def refuse_busy(host: str, port: int) -> None:
    """Raise ServerError where a server could not listen at ``port`` of ``host``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerError(
                f"port {port} on {host} cannot be used ({error.strerror}); stop what listens "
                "there or choose another with --set serving.port="
            ) from error
