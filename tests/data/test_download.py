"""Downloads from servers that behave and that misbehave; damaged and hostile archives."""

import io
import re
import socket
import ssl
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.helpers.pictures import md5, random_bytes
from tests.helpers.serving import serving
from ulfine.data import download
from ulfine.data.download import fetch, unpack

CONTENT = random_bytes(300_000).tobytes()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any name, according to `behaviour`, and records the requested ranges."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = "ranges"
        self.asked: list[str | None] = []
        self.go = threading.Event()  # what a slow one waits for

    def url(self, name: str = "a.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked, behaviour = self.headers.get("Range"), self.server.behaviour
        self.server.asked.append(asked)
        if self.path == "/missing":
            self.send_error(404)
            return
        if isinstance(behaviour, int) and len(self.server.asked) < 3:
            self.send_error(behaviour)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and behaviour != "no ranges" else 0
        if behaviour == "another range":
            start = start and start + 1
        if start >= len(CONTENT):
            self.send_error(416)
            return
        content = bytes(len(CONTENT)) if behaviour == "wrong bytes" else CONTENT
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        if behaviour == "slow":
            self.server.go.wait(10)
        cut = behaviour == "cuts" or (behaviour == "cuts twice" and len(self.server.asked) < 3)
        self.wfile.write(content[start : start + 100_000] if cut else content[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Server()) as served:
        yield served


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "downloads/a.bin"


@pytest.fixture
def right(tmp_path) -> str:
    (tmp_path / "whole").write_bytes(CONTENT)
    return md5(tmp_path / "whole")


def test_a_file_is_fetched_once(server, target, right):
    for _ in range(2):
        fetch([server.url()], target, right)
        assert target.read_bytes() == CONTENT and names(target.parent) == ["a.bin", "a.bin.lock"]
    assert server.asked == [None]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def both(first, reached, then) -> None:
    """Run `first` in two threads, the second once `reached` holds; call `then` after it had time to do harm."""
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(first)]
        end = time.monotonic() + 10
        while not reached() and time.monotonic() < end:
            time.sleep(0.005)
        runs.append(pool.submit(first))
        time.sleep(0.2)
        then()
        for run in runs:
            run.result()


def test_two_stages_that_want_one_file_fetch_it_once(server, target, right):
    server.behaviour = "slow"
    both(lambda: fetch([server.url()], target, right), lambda: server.asked, server.go.set)
    assert target.read_bytes() == CONTENT and server.asked == [None]


def test_a_file_that_is_there_needs_no_lock(target, right):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    fetch([], target, right)
    assert names(target.parent) == ["a.bin"]


@pytest.mark.parametrize(
    ("behaviour", "asked"),
    [("ranges", ["bytes=1000-"]), ("no ranges", ["bytes=1000-"]), ("another range", ["bytes=1000-", None])],
)
def test_a_broken_download_goes_on_where_it_stopped(server, target, right, behaviour, asked):
    server.behaviour = behaviour
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(CONTENT[:1000])
    fetch([server.url()], target, right)
    assert target.read_bytes() == CONTENT and server.asked == asked


def test_a_part_that_is_complete_is_checked_and_taken(server, target, right):
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(CONTENT)
    fetch([server.url()], target, right)
    assert target.read_bytes() == CONTENT and server.asked == ["bytes=300000-"]


def test_a_dropped_connection_is_tried_again(server, target, right):
    server.behaviour = "cuts twice"
    fetch([server.url()], target, right)
    assert target.read_bytes() == CONTENT and server.asked == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_tried_again(server, target, right, status):
    server.behaviour = status
    fetch([server.url()], target, right)
    assert target.read_bytes() == CONTENT and server.asked == [None, None, None]


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), TimeoutError("timed out"), ssl.SSLEOFError()])
def test_a_connection_that_breaks_while_it_is_made_is_tried_again(server, target, right, monkeypatch, error):
    failures, connect = [error, error], download.urlopen

    def urlopen(*request, **options):
        if failures:
            raise URLError(failures.pop())
        return connect(*request, **options)

    monkeypatch.setattr(download, "urlopen", urlopen)
    fetch([server.url()], target, right)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.bin", "http://nowhere.invalid/a.bin"])
def test_a_machine_without_a_network_hears_at_once(target, right, monkeypatch, url):
    def getaddrinfo(host, *more, **options):
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *more, **options)

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download.time, "sleep", lambda seconds: pytest.fail("tried again") if seconds else None)
    with pytest.raises(ValueError, match=rf"^a\.bin cannot be downloaded \({url}: \[Errno"):
        fetch([url], target, right)


def test_a_connection_that_keeps_breaking_leaves_its_part(server, target, right, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 2)
    server.behaviour = "cuts"
    with pytest.raises(ValueError, match="failed 2 times, last with: 200000 of 300000 bytes came; run again to go on"):
        fetch([server.url()], target, right)
    assert target.with_name("a.bin.part").read_bytes() == CONTENT[:200_000] and not target.exists()


def test_wrong_bytes_are_deleted_with_a_word(server, target, right, tmp_path):
    server.behaviour = "wrong bytes"
    (tmp_path / "zeros").write_bytes(bytes(len(CONTENT)))
    with pytest.raises(ValueError) as caught:
        fetch([server.url()], target, right)
    assert f"{server.url()}: what came has the md5 {md5(tmp_path / 'zeros')}, expected {right}" in str(caught.value)
    assert names(target.parent) == ["a.bin.lock"]


def test_mirrors_are_tried_in_turn(server, target, right):
    fetch([server.url("missing"), server.url()], target, right)
    assert target.read_bytes() == CONTENT


def test_without_a_network_one_line_says_what_to_place_where(server, target, right):
    nobody = "http://127.0.0.1:9/a.bin"  # the discard port, on which nothing listens
    with pytest.raises(ValueError) as caught:
        fetch([nobody, server.url("missing")], target, right)
    said = str(caught.value)
    assert said.startswith(f"a.bin cannot be downloaded ({nobody}: ")
    assert f"; {server.url('missing')}: HTTP status 404, Not Found); without a network, place it in" in said
    assert said.endswith(f"the folder {target.parent} under the name a.bin; its md5 must be {right}")
    assert "\n" not in said


def test_a_wrong_file_that_is_there_is_named_and_kept(server, target, right):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(ValueError, match=rf"a\.bin: md5 is {md5(target)}, expected {right}; delete it and run again"):
        fetch([server.url()], target, right)
    assert target.read_bytes() == b"mine" and server.asked == []


def write_tar(path: Path, *members: str | tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            content = info.name.encode() if info.isfile() else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_an_archive_is_unpacked_whole(tmp_path):
    write_tar(tmp_path / "a.tgz", special("set", tarfile.DIRTYPE), "set/x.bin", "./set/deep/y.bin")
    unpack(tmp_path / "a.tgz", tmp_path / "set")
    assert (tmp_path / "set/x.bin").read_text() == "set/x.bin" and (tmp_path / "set/deep/y.bin").is_file()
    assert names(tmp_path) == ["a.tgz", "set", "set.lock"]


def test_two_stages_that_want_one_folder_unpack_it_once(tmp_path, monkeypatch):
    write_tar(tmp_path / "a.tgz", "set/x.bin", "set/y.bin")
    extract, extracted, go = tarfile.TarFile.extractfile, [], threading.Event()

    def slow(tar, member):
        extracted.append(member.name)
        go.wait(10)
        return extract(tar, member)

    monkeypatch.setattr(tarfile.TarFile, "extractfile", slow)
    both(lambda: unpack(tmp_path / "a.tgz", tmp_path / "set"), lambda: extracted, go.set)
    assert extracted == ["set/x.bin", "set/y.bin"] and names(tmp_path / "set") == ["x.bin", "y.bin"]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../x", r"its member '\.\./x' leaves the folder set"),
        ("set/../../x", r"its member 'set/\.\./\.\./x' leaves the folder set"),
        ("/tmp/x", "its member '/tmp/x' leaves the folder set"),  # noqa: S108 (never written)
        ("other/x", "its member 'other/x' leaves the folder set"),
        (special("set/x", tarfile.SYMTYPE, "/etc"), "its member 'set/x' is a link or a device, not a file"),
        (special("set/x", tarfile.LNKTYPE, "set/a"), "its member 'set/x' is a link or a device, not a file"),
        (special("set/x", tarfile.FIFOTYPE), "its member 'set/x' is a link or a device, not a file"),
        (special("set/x", tarfile.CHRTYPE), "its member 'set/x' is a link or a device, not a file"),
    ],
)
def test_a_member_that_is_no_file_in_the_folder_is_refused(tmp_path, member, message):
    write_tar(tmp_path / "a.tgz", "set/a", member)
    with pytest.raises(ValueError, match=rf"a\.tgz: {message}"):
        unpack(tmp_path / "a.tgz", tmp_path / "set")
    assert names(tmp_path) == ["a.tgz", "set.lock"]


@pytest.mark.parametrize("length", [0, 10, -30])
def test_a_cut_archive_leaves_nothing(tmp_path, length):
    write_tar(tmp_path / "a.tgz", *(f"set/{i}" for i in range(99)))
    (tmp_path / "a.tgz").write_bytes((tmp_path / "a.tgz").read_bytes()[:length])
    with pytest.raises(ValueError, match=r"a\.tgz: cannot be unpacked \("):
        unpack(tmp_path / "a.tgz", tmp_path / "set")
    assert names(tmp_path) == ["a.tgz", "set.lock"]
