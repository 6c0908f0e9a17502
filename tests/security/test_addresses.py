"""Who can reach what."""

from dataclasses import MISSING, fields
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from tersely.rollout.vllm.config import VllmConfig, VllmLocalConfig
from tersely.rollout.vllm.serving.options import ServeOptions
from tersely.tracking import MlflowTracking
from tersely.tracking.store import UI_ADDRESS


def default(kind: type, name: str) -> str:
    (field,) = (each for each in fields(kind) if each.name == name)
    assert field.default is not MISSING
    return str(field.default)


def test_every_server_listens_on_this_machine_alone_by_default(tmp_path: Path) -> None:
    """Workers, whoever starts them; the publisher of weights; MLflow's UI, whatever its own
    variable says."""
    command = MlflowTracking(folder=str(tmp_path)).ui_command()
    assert command is not None
    hosts = [
        default(ServeOptions, "host"),
        default(VllmConfig, "publish_host"),
        default(VllmLocalConfig, "publish_host"),
        command.partition("--host ")[2].split()[0],
        urlsplit(UI_ADDRESS).hostname or "",
    ]
    assert [True] * 5 == [ip_address(host).is_loopback for host in hosts]
