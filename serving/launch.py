"""What a server's first process runs: BentoML's supervisor, which ends when its starter ends.

Its standard input is a pipe that the starter holds. When the starter is gone, however it ended,
the pipe closes and the supervisor stops its workers and itself: no server is left behind.
"""

import os
import signal
import sys
import threading

# Longer than clients keep an idle connection (httpx: 5 s), so that it is they who close it: a
# connection closed by the server just as a request comes in is a lost request.
KEEP_ALIVE_S = 75


def _end_with_starter() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """``python -m serving.launch SERVICE HOST PORT``."""
    from _bentoml_impl.server import serve_http

    service, host, port = sys.argv[1:]
    threading.Thread(target=_end_with_starter, daemon=True).start()
    serve_http(
        service,
        working_dir=os.getcwd(),
        host=host,
        port=int(port),
        timeout_keep_alive=KEEP_ALIVE_S,
    )


if __name__ == "__main__":
    main()
