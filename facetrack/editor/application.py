"""The requests that a page makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from facetrack.editor.editor import Editor
from facetrack.editor.payloads import describe_session, point_edits, whole
from facetrack.errors import FacetrackError

KEEP_ALIVE = 15.0
"""Seconds of silence after which a page is sent a line, so that a page that is gone is noticed."""
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
Handler = Callable[[Mapping[str, Any]], Any]


def create_application(editor: Editor, token: str) -> Starlette:
    """Return the application whose addresses begin with a token.

    Args:
        editor: what the pages show.
        token: first part of every address.
    """
    routes = [
        Route("/", _file),
        Route("/files/{name}", _file),
        Route("/session", _get(lambda request: describe_session(editor.session))),
        Route("/state", _get(lambda request: editor.state())),
        Route("/doubts", _get(lambda request: editor.doubts())),
        Route("/tracks/{first:int}/{last:int}", _tracks(editor)),
        Route("/frame/{frame:int}/{width:int}", _frame(editor)),
        Route("/messages", _messages(editor)),
        *(
            Route(f"/{name}", _post(handler), methods=["POST"])
            for name, handler in _actions(editor).items()
        ),
    ]
    return Starlette(routes=[Mount(f"/{token}", routes=routes)])


def _actions(editor: Editor) -> dict[str, Handler]:
    """Return what a page may ask for, by name."""
    session = editor.session

    def correct(m: Mapping[str, Any]) -> Any:
        frame, face, points = whole(m, "frame"), whole(m, "face"), point_edits(m)
        return editor.change(lambda: session.correct(frame, face, points))

    def start(m: Mapping[str, Any]) -> Any:
        frame, face, points = whole(m, "frame"), whole(m, "face"), point_edits(m)
        return editor.change(lambda: session.start(frame, face, points))

    def restore(m: Mapping[str, Any]) -> Any:
        frame, face, names = whole(m, "frame"), whole(m, "face"), m.get("names")
        if not isinstance(names, list) or not all(isinstance(n, int | str) for n in names):
            raise FacetrackError("The page named no corrections.")
        return editor.change(lambda: session.restore(frame, face, names))

    def remove(m: Mapping[str, Any]) -> Any:
        first, face = whole(m, "frame"), whole(m, "face")
        last = None if m.get("last") is None else whole(m, "last")
        return editor.change(lambda: session.remove(first, face, last))

    def rename(m: Mapping[str, Any]) -> Any:
        frame, face, person = whole(m, "frame"), whole(m, "face"), whole(m, "person")
        return editor.change(lambda: session.rename(frame, face, person))

    def suggest(m: Mapping[str, Any]) -> Any:
        xy = editor.suggest(whole(m, "frame"), whole(m, "face"), point_edits(m))
        return {"xy": xy.round(3).tolist()}

    def detect(m: Mapping[str, Any]) -> Any:
        return {"faces": editor.detect(whole(m, "frame")).round(3).tolist()}

    return {
        "correct": correct,
        "start": start,
        "restore": restore,
        "remove": remove,
        "rename": rename,
        # To undo what another page did unseen would surprise.
        "undo": lambda m: editor.change(session.undo, whole(m, "revision")),
        "redo": lambda m: editor.change(session.redo, whole(m, "revision")),
        "suggest": suggest,
        "detect": detect,
        "check": lambda m: editor.check_directions(),
        "save": lambda m: editor.save(),
    }


def _get(read: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(read, request))

    return answer


def _post(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            message = json.loads(await request.body())
            if not isinstance(message, dict):
                raise ValueError
        except (ValueError, RecursionError):
            return JSONResponse({"error": "The page sent no JSON object."}, 400)
        try:
            return JSONResponse(await run_in_threadpool(handler, message))
        except FacetrackError as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


async def _file(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    folder = files("facetrack.editor") / "page"
    known = {entry.name for entry in folder.iterdir() if entry.is_file()}
    kind = _KINDS.get(name.rpartition(".")[2])
    if name not in known or kind is None:
        return JSONResponse({"error": "There is no such file."}, 404)
    return Response((folder / name).read_bytes(), media_type=kind)


def _tracks(editor: Editor) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        first, last = request.path_params["first"], request.path_params["last"]
        try:
            data = await run_in_threadpool(editor.tracks, first, last)
        except FacetrackError as error:
            return JSONResponse({"error": str(error)}, 404)
        return Response(data, media_type="application/octet-stream")

    return answer


def _frame(editor: Editor) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        frame, width = request.path_params["frame"], request.path_params["width"]
        try:
            data = await run_in_threadpool(editor.pictures.jpeg, frame, width)
        except FacetrackError as error:
            return JSONResponse({"error": str(error)}, 404)
        return Response(data, media_type="image/jpeg")

    return answer


def _messages(editor: Editor) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of server-sent events (WHATWG HTML, section 9.2)."""

    async def answer(request: Request) -> Response:
        return StreamingResponse(_events(editor), media_type="text/event-stream")

    return answer


async def _events(editor: Editor) -> AsyncIterator[str]:
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[Mapping[str, Any]]()

    def put(message: Mapping[str, Any]) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, message)

    with editor.listening(put):
        yield f"data: {json.dumps(editor.doubts())}\n\n"
        while True:
            try:
                message = await asyncio.wait_for(queue.get(), KEEP_ALIVE)
            except asyncio.TimeoutError:
                yield ": still here\n\n"
                continue
            yield f"data: {json.dumps(message)}\n\n"
            if message["kind"] == "end":
                return
