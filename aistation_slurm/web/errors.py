"""An error becomes a status, once, here: problem+json (RFC 9457) for a program, a short page for a person."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from jinja2 import Environment
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from aistation_slurm.errors import (
    AistationError,
    NotPermitted,
    QuotaExceeded,
    RequestError,
    SlurmError,
    SlurmUnreachable,
    SpecError,
    UnknownToSlurm,
)

log = logging.getLogger(__name__)

STATUS: dict[type[Exception], int] = {
    SpecError: 422,
    RequestError: 422,
    QuotaExceeded: 409,
    NotPermitted: 403,
    UnknownToSlurm: 404,
    SlurmUnreachable: 503,
    SlurmError: 502,
    AistationError: 400,
    Exception: 500,
}


class Problem(BaseModel):
    """What went wrong, as RFC 9457 writes it."""

    type: str = Field("about:blank", description="Always `about:blank`: the status says the kind.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field("", description="What went wrong, in one sentence.")
    hint: str = Field("", description="What to do next, where we know it.")


class ProblemResponse(JSONResponse):
    """A problem, as `application/problem+json`."""

    media_type = "application/problem+json"


def status_of(error: Exception) -> int:
    """Return the status of the nearest class above the error that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer_errors(app: FastAPI, pages: Environment) -> None:
    """Let every error of the app end as a problem, never as a traceback."""

    def answer(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
            page = pages.get_template("error.html").render(problem=problem)
            return HTMLResponse(page, problem.status, headers)
        return ProblemResponse(problem.model_dump(exclude_defaults=True), problem.status, headers)

    def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != title else ""
        problem = Problem(title=title, status=error.status_code, detail=detail)
        return answer(request, problem, dict(error.headers or {}))

    def on_bad_request(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        return answer(request, Problem(title="Bad request", status=422, detail=f"{where}: {first['msg']}"))

    def on_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AistationError)
        status = status_of(error)
        title = HTTPStatus(status).phrase
        return answer(request, Problem(title=title, status=status, detail=str(error), hint=error.hint))

    def on_fault(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = "the server's log has the details"
        return answer(request, Problem(title="Internal Server Error", status=500, detail=detail))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_bad_request)
    app.add_exception_handler(AistationError, on_ours)
    app.add_exception_handler(Exception, on_fault)
