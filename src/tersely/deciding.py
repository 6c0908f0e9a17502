"""Which keys of a configuration decide what a run comes to, and which may change on the way."""

NOT_DECIDING = {
    "log_entropy",
    "max_skipped_updates",
    *("save_every", "keep_last"),
    *("workers", "sync", "timeout_s", "patience_s", "requests_per_worker", "probe_tolerance"),
    *("publish_host", "publish_port", "publish_folder", "python", "port", "context"),
    *("max_concurrent", "cache_folder", "api_key_env"),
    *("usd_per_million_in", "usd_per_million_out"),
}
"""Keys of a group that neither weights nor scores depend on."""

BUDGET = {"judge.max_calls", "judge.max_usd"}
"""What a judge may cost. A run goes on with another budget; one that was done under it is not
done under another."""

APART = {"tracking", "checks"}
"""Parts of a configuration that watch a run and decide nothing of it."""


def decides(key: str) -> bool:
    """Whether two runs that differ in `key` (`trainer.steps`) are two runs."""
    group, _, name = key.partition(".")
    return group not in APART and name not in NOT_DECIDING and key not in BUDGET
