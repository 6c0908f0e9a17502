"""An event loop in a thread of its own, for callers that are not asynchronous themselves."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from tersely.errors import RolloutError

T = TypeVar("T")

CLOSING_SECONDS = 10.0
"""For tasks to end after they have been cancelled."""


class LoopThread:
    """Runs coroutines for other threads until it is closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._submitting = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or what it raises. Raises `RolloutError` when the loop is closed
        before it is done. Waits for as long as `work` does: its own waits have deadlines."""
        # Work that came between the loop's end and its closing would be waited for for ever.
        with self._submitting:
            if self._closed:
                work.close()
                raise RolloutError("sampling was stopped")
            running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except CancelledError:
            raise RolloutError("sampling was stopped") from None

    def close(self) -> None:
        """Cancel what runs and end the thread. May be called twice, from any other thread."""
        with self._submitting:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSING_SECONDS))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
