"""Offers published files over HTTP to workers that share no disk with the trainer."""

import asyncio
import hmac
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from tersely.errors import RolloutError
from tersely.rollout.vllm.records import Files, WorkerFault

EVERYWHERE = {"0.0.0.0", "::"}


class Publisher:
    """`GET /weights/TAG/FILE`, with a token that each run makes anew. Lives on one event loop."""

    def __init__(self, host: str, port: int) -> None:
        """Where to listen; port 0 takes a free one."""
        self._host, self._port = host, port
        self._token = secrets.token_urlsafe(32)
        self._expected = f"Bearer {self._token}".encode()
        self._offered: dict[str, Files] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises `RolloutError` where the address cannot be had."""
        app = web.Application()
        app.router.add_get("/weights/{tag}/{file}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.close()
            raise RolloutError(
                f"weights cannot be offered to workers on {self._host}:{self._port} "
                f"({error.strerror or error}); set rollout.publish_port=0 for a free port and "
                "rollout.publish_host to an address of this machine"
            ) from error
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and cut off whoever is still fetching."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def source(self, files: Files, worker_url: str) -> dict[str, Any]:
        """What the worker at `worker_url` has to be told to fetch `files`; from now on they are
        offered. Raises `WorkerFault` where this machine knows no way to that worker."""
        self._offered = {t: f for t, f in self._offered.items() if f.folder.is_dir()}
        # Not the whole of a `Published`, which would keep its weights in memory.
        self._offered[files.tag] = Files(files.version, files.tag, files.folder, files.checksums)
        host = self._host
        if host in EVERYWHERE:
            host = await asyncio.to_thread(_address_towards, worker_url)
        shown = f"[{host}]" if ":" in host else host
        return {
            "tag": files.tag,
            "path": str(files.folder),
            "url": f"http://{shown}:{self._port}/weights/{files.tag}",
            "token": self._token,
            "checksums": files.checksums,
            "size": await asyncio.to_thread(_size_of, files),
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        said = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(said, self._expected):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        files = self._offered.get(request.match_info["tag"])
        # Names are looked up, so that no path can lead out of the folder.
        if files is None or request.match_info["file"] not in files.checksums:
            raise web.HTTPNotFound
        file: Path = files.folder / request.match_info["file"]
        if not file.is_file():  # an older version, which was removed
            raise web.HTTPNotFound
        return web.FileResponse(file)


def _size_of(files: Files) -> int:
    """Bytes; 0 for files that are gone, of which the worker hears when it fetches them."""
    size = 0
    for name in files.checksums:
        with suppress(OSError):
            size += (files.folder / name).stat().st_size
    return size


def _address_towards(url: str) -> str:
    """The address of this machine from which it reaches `url`; nothing is sent."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            name = str(probe.getsockname()[0])
    except OSError as error:
        raise WorkerFault(url, f"there is no way to it ({error.strerror or error})") from None
    return name
