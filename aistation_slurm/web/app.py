"""The page's server: what is asked where, and what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from aistation_slurm import __version__
from aistation_slurm.assets import asset_dir
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.conditional import Conditional
from aistation_slurm.slurm.connect import connect
from aistation_slurm.web.api import SnapshotOut, snapshot_out
from aistation_slurm.web.contexts import Overview
from aistation_slurm.web.errors import Problem, answer_errors
from aistation_slurm.web.html import html_templates
from aistation_slurm.web.overview import overview
from aistation_slurm.web.published import Body, Published, Publisher
from aistation_slurm.web.recoveries import StoreRecoveries
from aistation_slurm.web.security import SecurityHeaders
from aistation_slurm.web.snapshots import Recovery, Snapshot, Snapshots, StationReader
from aistation_slurm.web.static import StaticFile, read_static

FOR_EVER = "public, max-age=31536000, immutable"


class Health(BaseModel):
    """Whether the page's server lives, and what it knows of Slurm."""

    status: str = Field(description="Always `ok`: this server answers.")
    slurm: str = Field(description="`ok`, or why Slurm could not be asked.")


def create_app(
    settings: Settings,
    *,
    read: StationReader | None = None,
    recoveries: Callable[[], Sequence[Recovery]] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """Return the page's server for this station; it asks Slurm only while somebody looks.

    Args:
        settings: where Slurm and our tables are, and whether the GPUs are simulated.
        read: asked instead of the station's Slurm.
        recoveries: asked instead of our tables.
        now: the clock.
    """
    conditional: Conditional | None = None
    if read is None:
        slurm = connect(settings.slurm)
        read, conditional = slurm.read, slurm.conditional
    snapshots = Snapshots(
        read, conditional=conditional, recoveries=recoveries or StoreRecoveries(settings.database), now=now
    )
    files = read_static(asset_dir("webui") / "static")
    pages = html_templates({name: each.version for name, each in files.items()})
    station, shell = pages.get_template("_station.html"), pages.get_template("overview.html")

    def draw(page: Overview) -> str:
        return station.render(page=page)

    def wrap(page: Overview, fragment: Body) -> str:
        return shell.render(page=page, fragment=fragment.plain.decode(), etag=fragment.etag)

    def dump(snapshot: Snapshot, page: Overview) -> str:
        return snapshot_out(snapshot, page).model_dump_json()

    build = partial(overview, simulated=settings.simulated)
    publisher = Publisher(current=snapshots.current, build=build, draw=draw, wrap=wrap, dump=dump, now=now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        snapshots.close()

    app = FastAPI(
        title="aistation", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        responses={"default": {"model": Problem, "description": "What went wrong (RFC 9457)."}},
    )  # fmt: skip
    app.add_middleware(SecurityHeaders)
    answer_errors(app, pages)
    app.include_router(_pages(publisher, now))
    app.include_router(_api(publisher, snapshots))
    app.include_router(_static(files))
    return app


def _pages(publisher: Publisher, now: Callable[[], datetime]) -> APIRouter:
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.api_route("/", methods=["GET", "HEAD"])
    def show_overview(request: Request) -> Response:
        """The page, whole."""
        latest = publisher.latest()
        return _send(request, latest.page, _clocks(latest, now()))

    @router.get("/live")
    def show_live(request: Request) -> Response:
        """What of the page lives; asked for every two seconds, most often answered with 304."""
        latest = publisher.latest()
        return _send(request, latest.fragment, _clocks(latest, now()))

    return router


def _clocks(latest: Published, now: datetime) -> dict[str, str]:
    """The two moments that change without the page: headers, so that an unchanged page needs no body."""
    taken_at = latest.snapshot.taken_at
    return {
        "Aistation-Now": f"{now.timestamp():.3f}",
        "Aistation-Taken": f"{taken_at.timestamp():.3f}" if taken_at else "",
    }


def _send(
    request: Request, body: Body, headers: dict[str, str], *, media_type: str = "text/html; charset=utf-8"
) -> Response:
    headers = {**headers, "ETag": body.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == body.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(body.packed, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(body.plain, media_type=media_type, headers=headers)


def _api(publisher: Publisher, snapshots: Snapshots) -> APIRouter:
    router = APIRouter()

    @router.get("/api/snapshot", response_model=SnapshotOut)
    def get_snapshot(request: Request) -> Response:
        """Return what Slurm said last: at most a second or so old, or marked stale."""
        return _send(request, publisher.for_programs(), {}, media_type="application/json")

    @router.get("/healthz")
    def get_health() -> Health:
        """Return whether this server lives; asks Slurm nothing, and a Slurm that is away does not make it ill."""
        return Health(status="ok", slurm=snapshots.last.problem or "ok")

    return router


def _static(files: dict[str, StaticFile]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/favicon.ico")
    def get_favicon() -> Response:
        return RedirectResponse("/static/favicon.svg", 308)

    @router.api_route("/static/{name:path}", methods=["GET", "HEAD"])
    def get_static(request: Request, name: str, v: str = "") -> Response:
        file = files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = {"Cache-Control": FOR_EVER if v == file.version else "no-cache", "ETag": f'"{file.version}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if file.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(file.content, media_type=file.media_type, headers=headers)
        packed = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(file.packed, media_type=file.media_type, headers=headers | packed)

    return router
