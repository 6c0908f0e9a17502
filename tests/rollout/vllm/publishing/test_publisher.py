"""The endpoint that offers weights, asked over real sockets."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tersely.errors import RolloutError
from tersely.rollout.vllm.publishing.publisher import Publisher
from tersely.rollout.vllm.records import Published

Get = Callable[..., Awaitable[tuple[int, bytes]]]


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A version of one file, with a file beside it that was not published."""
    folder = tmp_path / "version"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(b"weights")
    (folder / "secret").write_text("not published")
    (tmp_path / "outside").write_text("not published")
    return Published(1, "run-1", folder, {"a.safetensors": "0"}, score=lambda *_: [])


def offered(published: Published, ask: Callable[[Get, dict[str, Any]], Awaitable[None]]) -> None:
    """Run `ask` against a publisher that offers `published`; it gets a way to fetch URLs and
    what a worker would be told."""

    async def main() -> None:
        publisher = Publisher("127.0.0.1", 0)
        await publisher.start()
        source = await publisher.source(published, "http://127.0.0.1:1")
        try:
            async with aiohttp.ClientSession() as session:

                async def get(url: str, token: str | None) -> tuple[int, bytes]:
                    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
                    # As it is written: a client would tidy dots away.
                    async with session.get(URL(url, encoded=True), headers=headers) as reply:
                        return reply.status, await reply.read()

                await ask(get, source)
        finally:
            await publisher.close()

    asyncio.run(main())


def test_a_file_is_had_with_the_token(published: Published) -> None:
    async def ask(get: Get, source: dict[str, Any]) -> None:
        url = f"{source['url']}/a.safetensors"
        assert (200, b"weights") == await get(url, source["token"])
        for token in (None, "", "another", source["token"][:-1], source["token"] + "x"):
            assert 401 == (await get(url, token))[0]

    offered(published, ask)


@pytest.mark.parametrize(
    "path",
    [
        "run-1/secret",
        "run-1/",
        "run-1/..%2foutside",
        "run-1/%2e%2e%2foutside",
        "run-1/../outside",
        "..%2foutside/a.safetensors",
        "run-2/a.safetensors",
    ],
)
def test_nothing_else_is_had(published: Published, path: str) -> None:
    async def ask(get: Get, source: dict[str, Any]) -> None:
        root = source["url"].removesuffix("run-1")
        assert 404 == (await get(root + path, source["token"]))[0]

    offered(published, ask)


def test_a_version_that_was_removed_is_not_there(published: Published) -> None:
    async def ask(get: Get, source: dict[str, Any]) -> None:
        (published.folder / "a.safetensors").unlink()
        assert 404 == (await get(f"{source['url']}/a.safetensors", source["token"]))[0]

    offered(published, ask)


def test_a_worker_is_told_path_and_checksums(published: Published) -> None:
    async def ask(get: Get, source: dict[str, Any]) -> None:
        assert str(published.folder) == source["path"]
        assert published.checksums == source["checksums"]
        assert "run-1" == source["tag"]

    offered(published, ask)


def test_listening_everywhere_names_the_address_that_a_worker_reaches(
    published: Published,
) -> None:
    """From this machine to itself that is loopback."""

    async def main() -> None:
        publisher = Publisher("0.0.0.0", 0)
        await publisher.start()
        source = await publisher.source(published, "http://127.0.0.1:8000")
        await publisher.close()
        assert source["url"].startswith("http://127.0.0.1:")

    asyncio.run(main())


def test_each_run_has_a_token_of_its_own(published: Published) -> None:
    async def token() -> str:
        publisher = Publisher("127.0.0.1", 0)
        await publisher.start()
        source = await publisher.source(published, "http://127.0.0.1:1")
        await publisher.close()
        return str(source["token"])

    assert asyncio.run(token()) != asyncio.run(token())


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RolloutError, match=rf"{port} .*rollout\.publish_port"):
            asyncio.run(Publisher("127.0.0.1", port).start())


def test_nobody_listens_after_close(published: Published) -> None:
    async def main() -> None:
        publisher = Publisher("127.0.0.1", 0)
        await publisher.start()
        url = (await publisher.source(published, "http://127.0.0.1:1"))["url"]
        await publisher.close()
        await publisher.close()  # a second time does nothing
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)

    asyncio.run(main())
