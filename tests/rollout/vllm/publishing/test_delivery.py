"""What a worker is asked for when all does not go well, and what is made of its answers.

`test_real_sync` has the ways that work, with a real vLLM.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import SyncNotApplied
from tersely.rollout.vllm.fleet.replies import Refused
from tersely.rollout.vllm.fleet.worker import NotFound, Worker
from tersely.rollout.vllm.publishing import delivery
from tersely.rollout.vllm.publishing.delivery import LoadAdapter, Receiver, Reload, Restart
from tersely.rollout.vllm.publishing.publisher import Publisher
from tersely.rollout.vllm.records import Published, WorkerFault

URL = "http://127.0.0.1:1"
GOOD = {"problem": None, "misfit": False, "touched": True}
REFUSED = {"problem": "it is damaged", "misfit": False, "touched": False}


class Answering(Worker):
    """A worker that answers each path with what it was told to, or raises that."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__(URL, timeout_s=1)
        self.answers: dict[str, Any] = {
            "/pause?mode=abort": None,
            "/resume": None,
            "/reset_prefix_cache": {"success": True},
            "/update_weight_version": None,
            **answers,
        }
        self.asked: list[str] = []

    async def call(
        self, path: str, body: Any = None, *, method: str = "POST", timeout_s: float | None = None
    ) -> Any:
        self.asked.append(path)
        answer = self.answers[path]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(7, "run-7", tmp_path, {}, score=lambda *_: [])


def deliver(worker: Worker, published: Published, way: Callable[[Receiver], Any]) -> None:
    """With `published` for the base of adapters too."""
    made = way(Receiver(Publisher("127.0.0.1", 0)))
    more = (published,) if way is LoadAdapter else ()
    asyncio.run(made.deliver(worker, published, *more))


def results(*each: dict[str, Any]) -> dict[str, Any]:
    return {"/collective_rpc": {"results": list(each)}}


def test_a_worker_that_kept_its_weights_goes_on_with_them(published: Published) -> None:
    worker = Answering(results(REFUSED))
    with pytest.raises(WorkerFault, match="it kept its weights: it is damaged"):
        deliver(worker, published, Reload)

    assert ["/pause?mode=abort", "/collective_rpc", "/resume"] == worker.asked


@pytest.mark.parametrize("others", [[], [GOOD]])
def test_a_worker_with_half_a_model_stays_paused(
    published: Published, others: list[dict[str, Any]]
) -> None:
    """A request would end it. Half is also what it has when one of its processes has the new
    weights and another the old ones."""
    bad = REFUSED if others else REFUSED | {"touched": True}
    worker = Answering(results(*others, bad))
    with pytest.raises(WorkerFault, match="its model is incomplete"):
        deliver(worker, published, Reload)

    assert "/resume" not in worker.asked
    assert "/update_weight_version" not in worker.asked


def test_a_worker_of_another_model_is_of_no_use(published: Published) -> None:
    worker = Answering(results(REFUSED | {"misfit": True}))
    with pytest.raises(SyncNotApplied, match="another model"):
        deliver(worker, published, Reload)
    assert "/resume" == worker.asked[-1]


def test_a_prefix_cache_that_stays_is_a_fault(published: Published) -> None:
    """What it has computed of a prompt is of the old weights."""
    worker = Answering(results(GOOD) | {"/reset_prefix_cache": {"success": False}})
    with pytest.raises(WorkerFault, match="prefix cache"):
        deliver(worker, published, Reload)
    assert "/resume" not in worker.asked


@pytest.mark.parametrize("answer", [{}, [], {"results": []}, {"results": ["None"]}, None])
def test_an_answer_that_says_nothing_is_a_fault(published: Published, answer: Any) -> None:
    worker = Answering({"/collective_rpc": [answer]})
    with pytest.raises(WorkerFault, match="tersely_reload returned"):
        deliver(worker, published, Reload)


@pytest.mark.parametrize("way", [Reload, Restart])
@pytest.mark.parametrize(
    "fault",
    [
        NotFound(URL, "/collective_rpc answered 404"),
        WorkerFault(URL, "Method 'tersely_reload' is not implemented."),
    ],
)
def test_a_server_that_serve_did_not_start_is_of_no_use(
    published: Published, way: Any, fault: WorkerFault
) -> None:
    with pytest.raises(SyncNotApplied, match=r"python -m tersely\.rollout\.serve"):
        deliver(Answering({"/collective_rpc": fault}), published, way)


ADAPTER: dict[str, Any] = {
    "/weight_info": {"weight_version": "run-7"},
    "/collective_rpc": {"results": [{"path": "/there"}]},
    "/v1/load_lora_adapter": WorkerFault(URL, "did not answer in JSON: Success"),
    "/v1/models": {"data": [{"id": "policy"}, {"id": "run-7"}]},
}


def test_an_adapter_that_is_there_is_a_success_in_plain_text(published: Published) -> None:
    worker = Answering(ADAPTER)
    deliver(worker, published, LoadAdapter)

    paths = ["/weight_info", "/collective_rpc", "/v1/load_lora_adapter", "/v1/models"]
    assert paths == worker.asked


def test_an_adapter_that_is_not_there_is_a_fault(published: Published) -> None:
    worker = Answering(ADAPTER | {"/v1/models": {"data": [{"id": "policy"}]}})
    with pytest.raises(WorkerFault, match="did not answer in JSON"):
        deliver(worker, published, LoadAdapter)


@pytest.mark.parametrize(
    "fault",
    [
        WorkerFault(URL, "answered 500: LoRA rank of adapter 7: no more memory"),
        WorkerFault(URL, "answered 500: Call to add_lora failed: LoRA file is cut off"),
        NotFound(URL, "answered 404: Loading lora run-7 failed: No adapter found for /there"),
    ],
)
def test_what_may_pass_is_left_to_the_fleet(published: Published, fault: WorkerFault) -> None:
    """Files that this worker has just fetched are gone: a newer version came."""
    worker = Answering(ADAPTER | {"/v1/load_lora_adapter": fault, "/v1/models": {"data": []}})
    with pytest.raises(WorkerFault) as raised:
        deliver(worker, published, LoadAdapter)
    assert fault is raised.value


def test_a_folder_that_a_worker_never_sees_is_of_no_use(published: Published) -> None:
    """vllm-metal cannot fetch: it has to see the trainer's own files."""
    fault = NotFound(URL, "answered 404: No adapter found for /of/the/trainer")
    missing = NotFound(URL, "answered 404")
    answers = {"/v1/load_lora_adapter": fault, "/v1/models": {"data": []}}
    with pytest.raises(SyncNotApplied, match="No adapter found"):
        deliver(Answering(ADAPTER | answers | {"/collective_rpc": missing}), published, LoadAdapter)


@pytest.mark.parametrize(
    "fault",
    [
        Refused(URL, "answered 400: no such module"),
        NotFound(URL, "answered 404"),
        WorkerFault(URL, "answered 500: LoRA rank 64 is greater than max_lora_rank 16"),
        WorkerFault(URL, "answered 500: LoRA is not enabled. Use --enable-lora to enable LoRA."),
        WorkerFault(URL, "answered 500: While loading /there, expected target modules in {}"),
        WorkerFault(URL, "answered 500: model.x is unsupported LoRA weight"),
    ],
)
def test_adapters_that_do_not_fit_the_server_are_of_no_use(
    published: Published, fault: WorkerFault
) -> None:
    worker = Answering(ADAPTER | {"/v1/load_lora_adapter": fault, "/v1/models": {"data": []}})
    with pytest.raises(SyncNotApplied, match=rf"{fault.what}.*lora_rank=N"):
        deliver(worker, published, LoadAdapter)


def test_other_weights_beside_the_adapters_are_replaced_first(published: Published) -> None:
    worker = Answering(
        ADAPTER
        | {
            "/weight_info": {"weight_version": "default"},
            "/collective_rpc": [results(GOOD)["/collective_rpc"], ADAPTER["/collective_rpc"]],
        }
    )
    deliver(worker, published, LoadAdapter)

    assert worker.asked.index("/update_weight_version") < worker.asked.index(
        "/v1/load_lora_adapter"
    )


@pytest.mark.parametrize(
    ("tag", "warned"), [("default", False), ("run-7", False), ("run-9-base", True)]
)
def test_base_weights_of_somebody_else_are_told_of(
    published: Published, caplog: pytest.LogCaptureFixture, tag: str, warned: bool
) -> None:
    """They are neither this run's nor, `default`, those that vLLM began with."""
    worker = Answering(
        ADAPTER
        | {
            "/weight_info": {"weight_version": tag},
            "/collective_rpc": [results(GOOD)["/collective_rpc"], ADAPTER["/collective_rpc"]],
        }
    )
    if tag == "run-7":
        worker.answers["/collective_rpc"] = ADAPTER["/collective_rpc"]
    deliver(worker, published, LoadAdapter)

    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warned == bool(said)
    assert all(word in "".join(said) for word in (URL, tag, "another trainer") if warned)


def test_without_reload_the_adapter_alone_is_loaded(published: Published) -> None:
    """vllm-metal: an older vLLM, on the trainer's own machine."""
    missing = NotFound(URL, "answered 404")
    worker = Answering(ADAPTER | {"/weight_info": missing, "/collective_rpc": missing})
    deliver(worker, published, LoadAdapter)

    assert "/v1/load_lora_adapter" in worker.asked


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "POLL_S", 0.001)


RESTARTED: dict[str, Any] = {"/collective_rpc": {"results": [{"path": "/there"}]}}
GONE = WorkerFault(URL, "could not be reached")


def test_a_restart_is_over_when_the_name_is_there(published: Published, quickly: None) -> None:
    """At first the old server still answers, then nobody."""
    old, new = ({"data": [{"id": name}]} for name in ("policy", "run-7"))
    worker = Answering(RESTARTED | {"/v1/models": [old, GONE, GONE, new]})
    deliver(worker, published, Restart)

    assert 5 == len(worker.asked)


def test_a_server_that_comes_back_with_other_weights_is_a_fault(
    published: Published, quickly: None
) -> None:
    """The new ones could not be served, and the old ones are."""
    worker = Answering(RESTARTED | {"/v1/models": [GONE, {"data": [{"id": "policy"}]}]})
    with pytest.raises(WorkerFault, match="came back with policy and not run-7"):
        deliver(worker, published, Restart)


def test_a_server_that_does_not_come_back_is_a_fault(
    published: Published, quickly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RESTART_S", 0.01)
    with pytest.raises(WorkerFault, match="was not back within"):
        deliver(Answering(RESTARTED | {"/v1/models": GONE}), published, Restart)
