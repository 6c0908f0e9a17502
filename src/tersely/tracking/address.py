"""Addresses of stores, which are kept with a run and shown in its messages."""

from urllib.parse import urlsplit

from tersely.errors import ConfigError


def check_store_is_public(store: str) -> None:
    """Raises `ConfigError` for an address with a secret in it, and for what is none."""
    try:
        parts = urlsplit(store)
        _ = parts.port  # which is read only now
    except ValueError:
        # Not repeated, here and below: what stands there may be a secret.
        raise ConfigError(
            "tracking.store is no address of a store; write it as http://HOST:PORT or "
            "sqlite:///FILE"
        ) from None
    if store.startswith("sqlite:///"):  # a file, in whose name these mean nothing
        hidden = bool(parts.username or parts.password)
    else:
        hidden = any(sign in store for sign in "@#") or bool(parts.query)
    if hidden:
        raise ConfigError(
            "tracking.store has a name, a password or a query in its address, which would be kept "
            "with the run; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, in the environment instead"
        )
