"""API keys: the file that the front's key filter watches. Keys stand in no ConfigMap, in no split and in no bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_router.envoy_config.limits import KEYS_FILTER
from tuneloop_router.envoy_config.typed import FILTERS, TYPE, Json, message, typed
from tuneloop_router.split import CLIENT_HEADER, KEY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILTER = FILTERS + "api_key_auth.v3.ApiKeyAuth"


def api_keys(keys: Sequence[str]) -> Json:
    """Return the file for these keys. Each header may carry one; a key is removed before a request goes on, and the place of its line stands there instead."""
    return {
        "resources": [
            message(
                "envoy.config.core.v3.TypedExtensionConfig",
                **typed(
                    KEYS_FILTER,
                    _FILTER,
                    credentials=[{"key": key, "client": f"key-{number}"} for number, key in enumerate(keys, start=1)],
                    key_sources=[{"header": name} for name in KEY_HEADERS],
                    forwarding={"header": CLIENT_HEADER, "hide_credentials": True},
                ),
            )
        ]
    }


def api_keys_filter(path: str) -> Json:
    """Return the filter that reads its configuration from the file."""
    source = {"resource_api_version": "V3", "path_config_source": {"path": path}}
    return {"name": KEYS_FILTER, "config_discovery": {"config_source": source, "type_urls": [TYPE + _FILTER]}}
