"""What somebody types where a path is wanted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import ConfigError
from tersely.paths import typed_path


@given(text=st.text(max_size=300))
def test_any_text_is_a_path_or_an_error_with_a_name(text: str) -> None:
    """And a path can then be looked at without failing."""
    try:
        path = typed_path(text, "data.path")
    except ConfigError as error:
        assert "data.path=" in str(error)
    else:
        path.is_dir()


@pytest.mark.parametrize(
    ("text", "said"), [("~nobody-of-this-name/x", "home directory"), ("x" * 5000, "too long")]
)
def test_what_is_no_path_here_is_said_with_its_key(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.path=.*{said}.*set data\.path") as caught:
        typed_path(text, "data.path")
    assert len(str(caught.value)) < 300


def test_a_path_that_is_not_there_yet_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / "later" == typed_path("~/later", "data.path")
    (tmp_path / "file").touch()
    assert tmp_path / "file" / "under" == typed_path(str(tmp_path / "file" / "under"), "data.path")
