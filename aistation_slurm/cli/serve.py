"""`aistation serve`: the web page, until stopped."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import click

from aistation_slurm.errors import AistationError, PortInUse, UsageError

if TYPE_CHECKING:
    from aistation_slurm.settings import Settings

BACKLOG = 2048


@click.command()
@click.option(
    "--listen", metavar="HOST:PORT", help="Where to serve the page; otherwise what aistation.toml says (loopback)."
)
@click.option("-v", "--verbose", is_flag=True, help="Log every request.")
def serve(listen: str | None, verbose: bool) -> None:
    """Serve the web page until stopped: groups, nodes, jobs and recoveries, live.

    It only reads, and asks Slurm only while somebody looks. It has no login yet: whoever reaches the address sees
    every job, so it listens on this machine alone unless told otherwise.

    \b
    Examples:
      aistation serve
      aistation serve --listen 127.0.0.1:9000
    """
    from aistation_slurm.logs import setup_logs
    from aistation_slurm.settings import load_settings

    settings = load_settings()
    setup_logs(verbose=verbose)
    with listening(*address(listen or settings.web.listen)) as server:
        click.echo(f"The page is at {url_of(server)}   (Ctrl-C stops it)")
        run(settings, server, verbose=verbose)


def run(settings: Settings, server: socket.socket, *, verbose: bool = False) -> None:
    """Serve the page on this socket until the process is told to stop.

    Raises:
        AistationError: the server's packages are not installed.
    """
    try:
        import uvicorn

        from aistation_slurm.web.app import create_app
    except ModuleNotFoundError as error:
        raise AistationError(
            f"the page needs the Python package {error.name!r}", hint="pip install 'aistation-slurm[server]'"
        ) from error
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        log_level="info" if verbose else "warning",
        access_log=verbose,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[server])


def address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[::1]:PORT` or `:PORT` (every address of this machine).

    Raises:
        UsageError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{text!r} is no address", hint="such as 127.0.0.1:8170")
    return host.strip("[]"), int(port)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one.

    Raises:
        PortInUse: somebody else listens there.
        UsageError: this machine has no such address, or it may not be used.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host or "::", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host!r} is no address of this machine ({error.strerror})") from error
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(where)
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise _cannot_listen(error, host, port) from error
    return server


def _cannot_listen(error: OSError, host: str, port: int) -> AistationError:
    where = f"{host or 'any address'}:{port}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"somebody already listens on {where}",
            hint="stop that one, or choose another with `--listen HOST:PORT` (port 0 takes a free one)",
        )
    return UsageError(f"can't listen on {where}: {error.strerror}", hint="choose another with `--listen HOST:PORT`")


def url_of(server: socket.socket) -> str:
    """Return the page's address, as a browser on this machine takes it."""
    host, port = server.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  only shown
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
