"""What the server answers, to whom, and what is on disk by then."""

from __future__ import annotations

import json
import socket
import struct
import time

import cv2
import numpy as np
import pytest
import requests
import sample_run

from facetrack.corrections.log import read_corrections
from facetrack.editor.guard import ONLY_SELF
from facetrack.editor.server import EditServer
from facetrack.errors import FacetrackError

PATIENCE = 60.0
ONE = {"point": 9, "x": 1, "y": 1}


def correct(editing, frame=40, point=30, **place):
    x, y = sample_run.true_points(frame + 1)[frame, point]
    entry = {"point": point, "x": float(x), "y": float(y), **place}
    return editing.post("correct", frame=frame, face=0, points=[entry])


def unpack(data: bytes):
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    shape = header["rows"], len(header["faces"]), header["points"]
    count, at = int(np.prod(shape)), 4 + length
    xy = np.frombuffer(data, "<f4", 2 * count, at).reshape(*shape, 2)
    states = np.frombuffer(data, np.uint8, count, at + 8 * count).reshape(shape)
    return header, xy, states


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def at_rest(editing):
    until(lambda: (p := editing.session.progress)[0] == p[1])


# ---------------------------------------------------------------- who is answered


def test_only_this_machine_reaches_the_page(editing):
    assert editing.server._socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("token", ["", "x", "favicon.ico"])
def test_other_addresses_lead_nowhere(editing, token):
    root = editing.url.rsplit("/", 2)[0]
    assert requests.get(f"{root}/{token}/state", timeout=60).status_code == 404
    assert requests.get(f"{root}/", timeout=60).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # a name that leads to 127.0.0.1
        {"Host": "evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_are_refused(editing, headers):
    for path in ("state", "frame/0/0", "messages"):
        assert editing.get(path, headers=headers).status_code == 403
    url = editing.url + "undo"
    answer = requests.post(url, json={"revision": 0}, headers=headers, timeout=60)
    assert answer.status_code == 403


def test_a_form_of_another_site_cannot_change_anything(editing):
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = requests.post(
            editing.url + "save", data="{}", headers={"Content-Type": kind}, timeout=60
        )
        assert answer.status_code == 403
    assert editing.get("save").status_code == 405
    assert requests.put(editing.url + "save", json={}, timeout=60).status_code == 405


def test_large_requests_are_refused(editing):
    assert editing.post("correct", text="x" * 2**21).status_code == 413
    chunks = iter([b"{", b"}"])
    headers = {"Content-Type": "application/json"}
    answer = requests.post(editing.url + "save", data=chunks, headers=headers, timeout=60)
    assert answer.status_code == 413


def test_every_answer_is_confined(editing):
    root = editing.url.rsplit("/", 2)[0]
    for url in (editing.url, editing.url + "files/main.js", editing.url + "none", root + "/none"):
        headers = requests.get(url, timeout=60).headers
        assert headers["Content-Security-Policy"] == ONLY_SELF
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_address_for_the_browser_works_once(editing):
    first = requests.get(editing.server.url_once, timeout=60)
    assert first.status_code == 200
    assert first.url == editing.url
    assert requests.get(editing.server.url_once, timeout=60).status_code == 404


def test_files_come_from_the_page_s_folder_alone(editing):
    for name in ("..%2f__init__.py", "../server.py", "server.py", "%2e%2e/guard.py", "none.js"):
        assert editing.get(f"files/{name}").status_code == 404
    assert editing.get("files/main.js").headers["Content-Type"].startswith("text/javascript")


# ---------------------------------------------------------------- what is answered


def test_tracks_and_pictures_are_those_of_the_frames(editing):
    header, xy, states = unpack(editing.get("tracks/10/29").content)
    assert (header["first"], header["rows"], header["faces"]) == (10, 20, [0])
    np.testing.assert_allclose(xy, sample_run.tracks_of(80).xy[10:30], atol=1e-3)
    assert (states == 2).all()
    for frame in (79, 3, 4, 40, 39, 38, 0):
        data = np.frombuffer(editing.get(f"frame/{frame}/0").content, np.uint8)
        shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., 0].astype(float)
        wanted = editing.session.image(frame)[..., 0].astype(float)
        assert shown.shape == wanted.shape
        assert np.abs(shown - wanted).mean() < 3, frame
    small = cv2.imdecode(np.frombuffer(editing.get("frame/3/90").content, np.uint8), 1)
    assert small.shape == (72, 96, 3)
    assert editing.get("frame/80/0").status_code == 404
    assert editing.get(f"frame/{10**30}/0").status_code == 404
    assert editing.get("tracks/80/90").status_code == 404


def test_a_correction_is_on_disk_before_it_is_answered(editing):
    answer = correct(editing)
    rows = read_corrections(editing.session.corrections_path).rows
    assert [(r.frame, r.face, r.point, r.who) for r in rows] == [(40, 0, 30, "tester")]
    assert answer.json()["revision"] == 1
    header, _, states = unpack(editing.get("tracks/40/40").content)
    assert states[0, 0, 30] & 4
    assert header["revision"] == 1


def test_a_correction_is_tracked_both_ways(editing):
    correct(editing)
    at_rest(editing)
    _, xy, states = unpack(editing.get("tracks/0/79").content)
    truth = sample_run.true_points(80)[:, 30]
    off = np.linalg.norm(xy[:, 0, 30] - truth, axis=-1)
    assert off.max() < 1.0  # 6 pixels before
    assert (states[:, 0, 30] & 4).nonzero()[0].tolist() == [40]


def test_hidden_actions_undo_and_redo(editing):
    assert correct(editing, hidden=True).json()["corrections"][0]["hidden"]
    state = editing.post("remove", frame=60, face=0, last=70).json()
    assert state["can_undo"]
    _, xy, _ = unpack(editing.get("tracks/60/71").content)
    assert np.isnan(xy[:11]).all()
    assert np.isfinite(xy[11]).all()
    state = editing.post("rename", frame=30, face=0, person=state["new_face"]).json()
    assert state["faces"] == [0, 1]
    state = editing.post("undo", revision=state["revision"]).json()
    state = editing.post("undo", revision=state["revision"]).json()
    assert [c["point"] for c in state["corrections"]] == [30]
    state = editing.post("redo", revision=state["revision"]).json()
    assert [c["point"] for c in state["corrections"]] == [30, "absent"]
    state = editing.post("restore", frame=60, face=0, names=["absent"]).json()
    assert [c["point"] for c in state["corrections"]] == [30]
    points = [{"point": k, "x": x, "y": y} for k, (x, y) in enumerate(sample_run.face((9, 9), 5))]
    state = editing.post("start", frame=70, face=2, points=points).json()
    assert 2 in state["faces"]


def test_undo_of_what_another_page_did_unseen_is_refused(editing):
    seen = correct(editing).json()["revision"]
    correct(editing, frame=41)
    answer = editing.post("undo", revision=seen)
    assert answer.status_code == 400
    assert "Another page" in answer.json()["error"]
    assert len(editing.session.corrections) == 2


@pytest.mark.parametrize(
    ("path", "message", "part"),
    [
        ("correct", {}, "frame"),
        ("correct", {"frame": 1.5, "face": 0}, "frame"),
        ("correct", {"frame": True, "face": 0}, "frame"),
        ("correct", {"frame": 1, "face": 0, "points": []}, "no points"),
        ("correct", {"frame": 1, "face": 0, "points": [3]}, "malformed"),
        ("correct", {"frame": 1, "face": 0, "points": [{"point": 1, "x": "1", "y": 1}]}, "place"),
        ("correct", {"frame": 1, "face": 0, "points": [{"point": 99, "x": 1, "y": 1}]}, "landmark"),
        ("correct", {"frame": 99, "face": 0, "points": [{"point": 9, "x": 1, "y": 1}]}, "Frame 99"),
        (
            "correct",
            {"frame": 1, "face": 0, "points": [{"point": 9, "x": 1e9, "y": 1}]},
            "position",
        ),
        (
            "correct",
            {"frame": 1, "face": 0, "points": [{"point": 9, "x": 10**400, "y": 1}]},
            "without a place",
        ),
        ("restore", {"frame": 1, "face": 0, "names": "x"}, "no corrections"),
        ("remove", {"frame": 9, "face": 0, "last": 3}, "before"),
    ],
)
def test_bad_requests_get_a_sentence_and_change_nothing(editing, path, message, part):
    answer = editing.post(path, **message)
    assert answer.status_code == 400
    assert part in answer.json()["error"]
    assert not editing.session.corrections
    for body in (b"", b"[]", b"{", b"\xff"):
        answer = requests.post(
            editing.url + path,
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert answer.status_code == 400


def test_pages_are_told_everything(editing):
    def messages(lines):
        for line in lines:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    with editing.get("messages", stream=True) as stream:
        told = messages(stream.iter_lines())
        assert next(told)["kind"] == "doubts"
        assert next(told)["pages"] == 1
        correct(editing)
        kinds = set()
        for message in told:
            kinds.add(message["kind"])
            if message["kind"] == "state" and message["revision"] == 1:
                done, total = message["tracking"]["done"], message["tracking"]["total"]
                if done == total and "tracked" in kinds:
                    break
        assert kinds >= {"state", "tracked"}
        doubts = next(m for m in told if m["kind"] == "doubts")["doubts"]
        assert doubts[0]["frame"] == 10
        assert doubts[0]["reasons"][0]["text"] == "covered points came to light here"
        assert 40 not in [d["frame"] for d in doubts]
        assert editing.post("save").status_code == 200
        saved = next(m for m in told if m["kind"] == "saved")
        assert any(name.endswith("clip.csv") for name in saved["files"])
    until(lambda: not editing.server.editor._listeners)
    assert editing.session.is_saved


def test_rows_of_another_program_are_taken_up(editing):
    from facetrack.corrections.correction import Correction
    from facetrack.corrections.log import CorrectionLog

    editing.get("state")
    CorrectionLog(editing.session.corrections_path).append([Correction(5, 0, 3, 10, 10)])
    until(lambda: editing.get("state").json()["revision"] == 1)
    assert editing.get("state").json()["corrections"][0]["frame"] == 5


def test_a_port_that_is_taken_is_named(editing):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(FacetrackError, match=f"Port {port} cannot be used"):
            EditServer(editing.session, port)


def test_an_error_while_tracking_is_told_once_and_work_goes_on(editing, monkeypatch, capsys):
    told = []
    at_rest(editing)
    with editing.server.editor.listening(told.append), monkeypatch.context() as patch:
        patch.setattr(editing.session, "retrack", lambda cancelled: 1 / 0)
        correct(editing)
        until(lambda: any(m["kind"] == "problem" for m in told))
        editing.server.editor._wake.set()
        until(lambda: not editing.server.editor._wake.is_set())
    assert len([m for m in told if m["kind"] == "problem"]) == 1
    assert "ZeroDivisionError" in next(m for m in told if m["kind"] == "problem")["text"]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert len(editing.session.corrections) == 1
    editing.server.editor._wake.set()
    at_rest(editing)
    assert editing.session.progress[0] > 0
