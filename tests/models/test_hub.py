"""An interrupted download from the hub resumes where it stopped."""

import hashlib
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from tests.helpers.pictures import random_bytes
from tests.helpers.serving import serving
from ulfine.data import download
from ulfine.models import hub

CONTENT = random_bytes(300_000).tobytes()
ETAG = hashlib.sha256(CONTENT).hexdigest()
COMMIT = 40 * "c"
URL = re.compile(rf"/org/tiny/resolve/(main|{COMMIT})/weights\.safetensors")


class Hub(BaseHTTPRequestHandler):
    """A repository with one large file; while `cut` is set, no response has more than 100,000 bytes of it."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        start = self.answer()
        if start is not None:
            self.wfile.write(CONTENT[start : start + 100_000] if self.server.cut else CONTENT[start:])

    def answer(self) -> int | None:
        asked = self.headers.get("Range")
        if not URL.fullmatch(self.path):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if self.command == "GET":
            self.server.asked.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        for name, value in {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{ETAG}"', "X-Linked-Size": "300000"}.items():
            self.send_header(name, value)
        self.send_header("ETag", f'"{ETAG}"')
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        return start

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    served = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    served.daemon_threads, served.cut, served.asked = True, True, []
    here = f"http://127.0.0.1:{served.server_port}"
    for name, value in {
        "ENDPOINT": here,
        "HUGGINGFACE_CO_URL_TEMPLATE": here + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(download, "TRIES", 1)
    with serving(served):
        yield served


def test_a_large_file_that_broke_off_goes_on_where_it_stopped(server, tmp_path):
    with pytest.raises(ValueError, match="100000 of 300000 bytes came; run again to go on from there"):
        hub.file("org/tiny", ["none.safetensors", "weights.safetensors"], None)
    assert not list(tmp_path.glob("hub/*/snapshots/*/*"))
    server.cut = False
    found = hub.file("org/tiny", ["none.safetensors", "weights.safetensors"], None)
    assert found.read_bytes() == CONTENT and hub.revision(found) == COMMIT and found.resolve().name == ETAG
    assert server.asked == [None, "bytes=100000-"]
    assert hub.file("org/tiny", ["weights.safetensors"], None) == found and len(server.asked) == 2


@pytest.mark.usefixtures("server")
def test_what_the_repository_lacks_is_said():
    with pytest.raises(ValueError, match=r"https://huggingface\.co/org/tiny has no none\.bin"):
        hub.file("org/tiny", ["none.bin"], None)
