"""The token that servers and trainers of one user share."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tersely.errors import ConfigError
from tersely.rollout.vllm.token import FILE, own_server_token, server_token, token_for


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("TERSELY_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_whoever_comes_first_makes_it_and_all_have_the_same(home: Path) -> None:
    """Sixteen at once, on either side; nothing else is left in the folder."""
    sides = [server_token, lambda: token_for("http://127.0.0.1:8000")] * 8
    with ThreadPoolExecutor(16) as pool:
        found = {future.result() for future in [pool.submit(side) for side in sides]}
    assert 1 == len(found)
    assert 43 == len(found.pop() or "")  # 32 bytes, six bits a character
    assert ["token"] == [each.name for each in (home / FILE).parent.iterdir()]


def test_its_user_alone_can_read_it(home: Path) -> None:
    """And one that others could read is not used."""
    server_token()
    assert 0o600 == stat.S_IMODE((home / FILE).stat().st_mode)
    assert 0o700 == stat.S_IMODE((home / FILE).parent.stat().st_mode)
    (home / FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it"):
        server_token()
    assert token_for("http://localhost:8000") is None


def test_one_that_is_set_is_taken_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On machines that share nothing else."""
    monkeypatch.setenv("TERSELY_TOKEN", "geheim")
    assert ("geheim", "geheim") == (server_token(), token_for("http://10.0.0.7:8000"))
    assert not (home / FILE).exists()


def test_no_other_machine_is_told_the_users_own() -> None:
    for url in ("http://10.0.0.7:8000", "http://box", "http://127.0.0.1.example.org"):
        assert token_for(url) is None, url
    for url in ("http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"):
        assert server_token() == token_for(url), url


def test_a_home_that_cannot_be_written_is_named(home: Path) -> None:
    """A server says what to set; a trainer may have workers that want none."""
    (home / ".cache").write_text("in the way")
    with pytest.raises(ConfigError, match="set TERSELY_TOKEN to a secret"):
        server_token()
    assert token_for("http://127.0.0.1:8000") is None


def test_what_is_wrong_with_a_file_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time with what helps at once: a token of one's own."""

    def said() -> str:
        with pytest.raises(ConfigError, match="set TERSELY_TOKEN to a secret") as raised:
            server_token()
        return str(raised.value)

    (home / FILE).mkdir(parents=True)
    assert "no file" in said()
    (home / FILE).rmdir()
    (home / FILE).write_bytes(b"\xff\xfe")
    (home / FILE).chmod(0o600)
    assert "damaged" in said()
    monkeypatch.setattr("os.getuid", lambda: (home / FILE).stat().st_uid + 1)
    assert "another user" in said()


def test_without_a_home_it_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a user whom the machine does not know."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(ConfigError, match="the home folder; set TERSELY_TOKEN to a secret"):
        server_token()


def test_a_run_without_a_home_has_one_for_its_own_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same all along, also when the home can be written again."""
    monkeypatch.setattr("tersely.rollout.vllm.token._own", "")
    (home / ".cache").write_text("in the way")
    made = own_server_token()
    assert 43 == len(made)
    (home / ".cache").unlink()
    assert made == own_server_token() == token_for("http://127.0.0.1:8000")
    assert token_for("http://10.0.0.7:8000") is None
    assert made != server_token()


def test_a_full_disk_leaves_no_half_of_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("secrets.token_urlsafe", full)
    with pytest.raises(ConfigError, match="No space left"):
        server_token()
    assert [] == list((home / FILE).parent.iterdir())


def test_an_empty_one_is_made_again(home: Path) -> None:
    """As a disk that was full leaves it."""
    (home / FILE).parent.mkdir(parents=True)
    (home / FILE).touch(0o600)
    assert 43 == len(server_token())
