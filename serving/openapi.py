"""The OpenAPI document and the page that shows it, both without a network."""

from typing import Any

from homefeed import __version__

_ID = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
_AT = {
    "type": "number",
    "description": "the request's own time, seconds since 1970; only with --simulated-clock",
}
_BEGAN = "when it began, seconds since 1970; default: duration_s before it arrived"
_ERROR = {
    "description": "one line that says what was wrong and what to do",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}}
        }
    },
}
_ITEM = {
    "type": "object",
    "properties": {
        "item_id": _ID,
        "score": {"type": ["number", "null"], "description": "null where nothing was scored"},
        "source": {"enum": ["user_vector", "popular", "recent", "request"]},
    },
}
_RANKED = {
    "type": "object",
    "properties": {
        "request_id": {"type": "string"},
        "user_id": _ID,
        "test": {"type": ["string", "null"]},
        "arm": {"type": ["string", "null"]},
        "release": {"type": "integer"},
        "degraded": {
            "enum": [None, "no_realtime_actions", "no_user_embedding", "popular_items"],
            "description": "how far the answer fell short; null is a full answer",
        },
        "reasons": {"type": "array", "items": {"type": "string"}},
        "items": {"type": "array", "items": _ITEM},
    },
}
_ACTION = {
    "type": "object",
    "required": ["user_id", "item_id", "action_type"],
    "properties": {
        "user_id": _ID,
        "item_id": _ID,
        "action_type": {"type": "string"},
        "timestamp": {"type": "number", "description": _BEGAN},
        "duration_s": {"type": "number"},
        "surface": {"type": "string"},
        "request_id": {"type": "string", "description": "of the feed that showed the item"},
        "event_id": {"type": "string", "description": "the same id is recorded once"},
    },
}
_RESULTS = {
    "type": "object",
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "refused": {"type": "integer"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "status": {"enum": ["accepted", "duplicate", "refused"]},
                    "seq": {"type": "integer"},
                    "error": {"type": "string"},
                },
            },
        },
    },
}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    user = {"user_id": _ID, "k": {"type": "integer"}, "surface": {"type": "string"}, "at": _AT}
    candidates = {"candidates": {"type": "array", "items": _ID}}
    actions = {"actions": {"type": "array", "items": _ACTION}, "at": _AT}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Homefeed", "version": __version__},
        "paths": {
            "/v1/feed": _post("A ranked feed for one user", user, ["user_id"], _RANKED),
            "/v1/rank": _post(
                "Given candidates, ranked; an unknown item refuses the request and is named",
                {**user, **candidates},
                ["user_id", "candidates"],
                _RANKED,
            ),
            "/v1/actions": _post(
                "Record actions: durable before the answer, one result per action",
                actions,
                ["actions"],
                _RESULTS,
            ),
            "/v1/explain/{request_id}": _get(
                "Why a request was answered as it was", path_parameter="request_id"
            ),
            "/readyz": _get("Whether the server is ready, and what it serves"),
            "/livez": _get("Whether the server is alive"),
            "/metrics": _get("Prometheus metrics"),
        },
    }


def _post(summary: str, properties: dict, required: list[str], answer: dict) -> dict[str, Any]:
    body = {"type": "object", "properties": properties, "required": required}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "200": {"description": "OK", "content": {"application/json": {"schema": answer}}},
                "400": _ERROR,
                "404": _ERROR,
                "408": _ERROR,
                "413": _ERROR,
                "429": _ERROR,
                "503": _ERROR,
            },
        }
    }


def _get(summary: str, path_parameter: str | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "OK"}, "404": _ERROR, "503": _ERROR},
    }
    if path_parameter:
        operation["parameters"] = [
            {"name": path_parameter, "in": "path", "required": True, "schema": {"type": "string"}}
        ]
    return {"get": operation}


# Swagger UI's files come with BentoML, which serves them under /static_content.
DOCS_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Homefeed API</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui"});</script>
</body></html>
"""
