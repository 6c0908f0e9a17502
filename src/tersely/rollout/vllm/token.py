"""The token that a server wants of its trainer.

Whoever can ask a server can give it other weights, so that none is without one: any program of
this machine reaches a port on loopback, and so does a page in a browser.
"""

import os
import secrets
import stat
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from tersely.errors import ConfigError

TOKEN_VARIABLE = "TERSELY_TOKEN"
FILE = Path(".cache") / "tersely" / "token"
"""Below the user's home. Its user alone can read it, and every server and trainer of theirs on
this machine has it, whichever is started first."""


def server_token() -> str:
    """`$TERSELY_TOKEN`, else the user's own for this machine, made if there is none yet.

    Raises `ConfigError` where it cannot be kept.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if given:
        return given
    file = "the home folder"
    try:
        file = str(Path.home() / FILE)
        return _kept(Path(file)) or _made(Path(file))
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigError(
            f"the token without which a server takes no weights cannot be kept in {file}; set "
            f"{TOKEN_VARIABLE} to a secret, the same for the server and for the trainer "
            f"({reason or error})"
        ) from error


def own_server_token() -> str:
    """For the server that this process starts: as `server_token`, and where that cannot be kept
    one that nobody else needs, for as long as this process lives."""
    global _own
    try:
        return _own or server_token()
    except ConfigError:
        _own = secrets.token_urlsafe(32)
        return _own


_own = ""


def token_for(url: str) -> str | None:
    """What the worker at `url` is sent: nobody else's machine gets the user's own. None where
    there is none."""
    if os.environ.get(TOKEN_VARIABLE) or _is_here(urlsplit(url).hostname or ""):
        try:
            return _own or server_token()
        except ConfigError:  # a server of vLLM's own may want none
            return None
    return None


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept(file: Path) -> str:
    """Empty where there is none. Raises `OSError`, also where others can read or write it."""
    try:
        seen = file.stat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(seen.st_mode):
        raise PermissionError(0, "what is there is no file")
    if seen.st_uid != os.getuid():
        raise PermissionError(0, "it belongs to another user")
    if seen.st_mode & 0o077:
        raise PermissionError(0, "others can read it; or delete it, so that another is made")
    try:
        return file.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as error:
        raise OSError(0, "it is damaged; or delete it, so that another is made") from error


def _made(file: Path) -> str:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}-{secrets.token_hex(4)}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(32))
        os.link(part, file)  # whole, and that of the first of two who make it
    except FileExistsError:
        if not _kept(file):  # empty, as a full disk leaves it
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return _kept(file)
