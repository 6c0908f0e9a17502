"""What a choice cannot do without, by group and choice: a value that has no default."""

ENDPOINT = ("judge.base_url=http://127.0.0.1:8000/v1", "judge.model=MODEL")

NEEDED: dict[tuple[str, str], tuple[str, ...]] = {
    ("model", "local"): ("model.path=FOLDER",),
    ("data", "jsonl"): ("data.path=FOLDER",),
    ("judge", "geval"): ENDPOINT,
    ("judge", "geval_local"): ENDPOINT,
    ("judge", "panel"): ENDPOINT,
    ("rollout", "vllm"): ("rollout.workers=[http://127.0.0.1:8000]",),
}
