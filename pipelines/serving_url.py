"""Where those who start a test find the server: the configuration says where it listens."""

from homefeed.config import Config

SERVICE_URL = "http://feed.homefeed.svc"  # infra/kubernetes/base/serving.yaml
EVERYWHERE = "0.0.0.0"  # a server listens there, and nobody can ask it there


def serving_url(config: Config, *, cluster: bool = False) -> str:
    """The server's address; the cluster's service in that profile, or for what runs there."""
    serving = config.serving
    if serving.host != EVERYWHERE:
        host = f"[{serving.host}]" if ":" in serving.host else serving.host  # IPv6
        return f"http://{host}:{serving.port}"
    in_cluster = cluster or config.profile == "cluster"
    return SERVICE_URL if in_cluster else f"http://127.0.0.1:{serving.port}"
