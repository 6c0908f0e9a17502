"""Posts that are no friends of ours, and commands in an environment full of secrets."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECRET = "s3ntinel-0815-never-shown"
SECRETS = (
    "TERSELY_TOKEN",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "HF_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
)
NASTY = (
    "</script><script>window.taken = 1</script>",
    '<img src=x onerror="window.taken = 2">',
    "=cmd|' /C calc'!A0 went to town and i did not know what to do",
    "[click](javascript:window.taken=3) <svg/onload=window.taken=4> ${7*7} {{7*7}}",
    "'; DROP TABLE metrics; -- \"><iframe srcdoc='<script>window.taken=5</script>'>",
    "@SUM(1+9)*cmd|' /C calc'!A0",
)
IDS = (
    "../../../outside",
    "/tmp/outside",
    "..\\outside",
    "a/../../b",
    "=1+1",
    "<script>window.taken=6</script>",
)


@dataclass(frozen=True)
class Left:
    """What the commands left, and said."""

    folder: Path
    """In which they ran; `here/` is the place that they may write to."""
    said: str

    @property
    def here(self) -> Path:
        return self.folder / "here"

    @property
    def files(self) -> list[Path]:
        return [file for file in self.folder.rglob("*") if file.is_file()]


def start(folder: Path, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A script as a person types it, with a secret in every variable that may have one."""
    environment = {name: value for name, value in os.environ.items() if "TERSELY" not in name}
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env={**environment, **dict.fromkeys(SECRETS, SECRET), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def write_posts(folder: Path) -> None:
    """Six posts a split, with their ids and references."""
    folder.mkdir()
    for split in ("train", "validation", "test"):
        rows = [
            {"id": f"{name}{split}", "prompt": text, "completion": text, "domain": text}
            for name, text in zip(IDS, NASTY, strict=True)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines)
