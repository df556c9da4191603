"""Envoy's configuration for one router: data in, plain JSON data out, no I/O.

`bootstrap` is fixed for the life of a proxy. `clusters`, `routes` and `api_keys` make the files that Envoy watches; clusters and routes
follow the split, limits included, so that no listener ever changes and no connection is closed for a change.
"""

from tuneloop_router.envoy_config.api_keys import api_keys
from tuneloop_router.envoy_config.bootstrap import bootstrap
from tuneloop_router.envoy_config.clusters import clusters
from tuneloop_router.envoy_config.places import Places
from tuneloop_router.envoy_config.routes import routes

__all__ = ["Places", "api_keys", "bootstrap", "clusters", "routes"]
