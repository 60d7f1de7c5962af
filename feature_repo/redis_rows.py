"""Rows of one view in Redis, found by their as-of time and deleted, in Feast's own layout.

One hash a user holds all views: fields named by a hash of view and feature, and ``_ts:<view>``.
The layout is Feast's internal one, so the Feast version is pinned and the tests publish, delete
and read back through Feast. Finding rows looks at every user once, as a publish does.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from feature_repo.connection import FeastConnection
from feature_repo.definitions import JOIN_KEY

if TYPE_CHECKING:
    from feast import FeatureView

_AT_ONCE = 5_000
_DELETE_AT = """
if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[1] then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 2))  -- a hash without fields is gone
end
"""  # compared and deleted at once: Redis runs nothing else meanwhile


def keys_at(connection: FeastConnection, view: "FeatureView", as_of_s: int) -> set[bytes]:
    """Feast's key bytes of all users whose row of ``view`` stands at ``as_of_s``."""
    client, project = _client(connection)
    wanted = _stamp(as_of_s)
    found: set[bytes] = set()
    for keys in _some_at_once(_keys_of_users(client, project)):
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(key, f"_ts:{view.name}")
            times = pipe.execute()
        found.update(
            key.removesuffix(project) for key, at in zip(keys, times, strict=True) if at == wanted
        )
    return found


def delete(
    connection: FeastConnection, view: "FeatureView", keys: Iterable[bytes], as_of_s: int
) -> None:
    """Delete the rows of ``view`` of the users with these key bytes; other views keep theirs.

    A row that no longer stands at ``as_of_s`` stays: a publish from elsewhere wrote it since.
    """
    client, project = _client(connection)
    fields = _fields(view)
    for some in _some_at_once(keys):
        with client.pipeline(transaction=False) as pipe:
            for key in some:
                pipe.eval(_DELETE_AT, 1, key + project, _stamp(as_of_s), *fields)
            pipe.execute()


def delete_all(connection: FeastConnection, view: "FeatureView") -> int:
    """Delete all rows of ``view``, and return how many; other views keep theirs.

    Feast's own deletion would hold every user's key and fields in memory at once, so it is
    switched off (``full_scan_for_deletion``).
    """
    client, project = _client(connection)
    fields, deleted = _fields(view), 0
    for keys in _some_at_once(_keys_of_users(client, project)):
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hdel(key, *fields)
            deleted += sum(1 for fields_gone in pipe.execute() if fields_gone)
    return deleted


def _fields(view: "FeatureView") -> list[str | bytes]:
    """The fields of a user's hash that are this view's, the time first (see ``_DELETE_AT``)."""
    from feast.infra.online_stores.helpers import _mmh3

    return [f"_ts:{view.name}", *(_mmh3(f"{view.name}:{each.name}") for each in view.features)]


def _keys_of_users(client: Any, project: bytes) -> Iterator[bytes]:
    from feast.infra.key_encoding_utils import serialize_entity_key_prefix

    pattern = serialize_entity_key_prefix([JOIN_KEY]) + b"*" + project
    return client.scan_iter(pattern, count=_AT_ONCE)


def _stamp(time_s: int) -> bytes:
    from google.protobuf.timestamp_pb2 import Timestamp

    return Timestamp(seconds=time_s).SerializeToString()


def _some_at_once(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    left = iter(keys)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _client(connection: FeastConnection) -> tuple[Any, bytes]:
    """Feast's own client, and the project's name, which ends every key."""
    store = connection.store()
    online = store._get_provider().online_store
    return online._get_client(store.config.online_store), store.config.project.encode()
