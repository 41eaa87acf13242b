"""The JSON API over HTTP: routes, uploads in both forms, media with ranges, and the faults that were asked for."""

import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fake_gcs.dialect import GOOGLE, Dialect
from tests.fake_gcs.faults import Fault, FaultKind, FaultPlan, RequestClass
from tests.fake_gcs.store import ApiError, Json, Store, no_bucket

QUANTUM_BYTES = 256 * 1024
"""Chunks of a resumable upload are multiples of this, the last one aside."""


@dataclass(frozen=True)
class Received:
    """One request, as it arrived."""

    request: RequestClass
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass
class Session:
    """A resumable upload."""

    name: str
    properties: Json
    conditions: dict[str, int]
    content: bytearray = field(default_factory=bytearray)
    finished: Json | None = None


class FakeGcs(ThreadingHTTPServer):
    """One bucket on a free port of loopback; ``with FakeGcs("bucket") as gcs`` serves until the block ends."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, bucket: str, *, versioning: bool = True, page_size: int = 1000, dialect: Dialect = GOOGLE
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dialect = dialect
        self.store = Store(bucket, versioning)
        self.page_size = page_size
        self.prefix = ""
        """Of every path: where a proxy has put the API."""
        self.plan = FaultPlan()
        self.received: list[Received] = []
        self.mistakes: list[str] = []
        self.lifecycle: list[dict[str, object]] = []
        self.sessions: dict[str, Session] = {}
        self.stall_over = threading.Event()
        self.before: Callable[[Received], None] = lambda _: None
        """Called when a request has arrived: what another writer does just then."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="fake-gcs")

    def fail(self, request: RequestClass, kind: FaultKind, *, times: int = 1, skip: int = 0) -> None:
        self.plan.add(Fault(request, kind, times, skip))

    def requests(self) -> list[RequestClass]:
        return [received.request for received in self.received]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what the tests are about; anything else is a mistake here, shown at the end."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.mistakes.append(repr(error))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stall_over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        assert not self.mistakes, self.mistakes


class Reset(Exception):  # noqa: N818 - not an error of the program
    """Break the connection now."""


class Handler(BaseHTTPRequestHandler):
    server: FakeGcs
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    timeout = 30

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    # ------------------------------------------------------------------------------------------------ one request

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path.removeprefix(self.server.prefix))
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = self._class_of(url.path, query)
        headers = {key.lower(): value for key, value in self.headers.items()}
        received = Received(request, self.command, url.path, query, headers, body)
        self.server.received.append(received)
        self.server.before(received)
        try:
            with self._fault(request) as fault:
                self._dispatch(request, url.path, query, body, fault)
        except ApiError as error:
            if request == "media":
                self._answer(error.status, error.message.encode(), {"Content-Type": "text/plain"})
            else:
                content = self.server.dialect.error(error.status, error.body())
                self._answer(error.status, content, {"Content-Type": "application/json; charset=UTF-8"})
        except Reset:
            self._reset()

    @contextmanager
    def _fault(self, request: RequestClass) -> Iterator[FaultKind | None]:
        fault = self.server.plan.take(request)
        if fault == "reset before":
            raise Reset
        if fault == "stall":
            self.server.stall_over.wait(20)
            raise Reset
        if fault is not None and fault.isdigit():
            raise ApiError(int(fault), "injected", f"injected {fault}")
        yield fault

    def _dispatch(
        self, request: RequestClass, path: str, query: dict[str, str], body: bytes, fault: FaultKind | None
    ) -> None:
        match = re.match(r"(?:/upload|/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?$", path)
        if match is None or unquote(match[1]) != self.server.store.bucket:
            raise no_bucket()
        name = unquote(match[2] or "")
        store, bucket = self.server.store, self.server.store.bucket
        generation = int(query["generation"]) if "generation" in query else None
        if request == "bucket":
            resource: Json = {"kind": "storage#bucket", "name": bucket, "versioning": {"enabled": store.versioning}}
            self._json(
                200, resource | ({"lifecycle": {"rule": self.server.lifecycle}} if self.server.lifecycle else {})
            )
        elif request == "list":
            self._json(200, self._page(query))
        elif request == "stat":
            self._json(200, store.get(name, generation).resource(bucket))
        elif request == "media":
            self._media(name, generation, fault)
        elif request == "delete":
            store.delete(name, generation, _conditions(query))
            if self.server.dialect.deletes_answer and fault is None:
                self._answer(200, b"null", {"Content-Type": "application/json; charset=UTF-8"})
            else:
                self._done(204, None, fault)
        elif request == "insert":
            properties, content = _parts(body, self.headers["Content-Type"])
            content = _flipped(content) if fault == "corrupt on arrival" else content
            version = store.insert(str(properties["name"]), content, properties, _conditions(query))
            self._done(200, version.resource(bucket), fault)
        elif request == "session":
            self._start(query, body, fault)
        else:
            self._chunk(query, body, fault)

    def _class_of(self, path: str, query: dict[str, str]) -> RequestClass:
        if path.startswith("/upload/"):
            if self.command == "POST":
                return "insert" if query.get("uploadType") == "multipart" else "session"
            return "status" if self.headers.get("Content-Range", "").startswith("bytes */*") else "chunk"
        if self.command == "DELETE":
            return "delete"
        if query.get("alt") == "media":
            return "media"
        if path.endswith("/o"):
            return "list"
        return "stat" if "/o/" in path else "bucket"

    # ------------------------------------------------------------------------------------------------ reading

    def _page(self, query: dict[str, str]) -> Json:
        dialect = self.server.dialect
        versions = dialect.wants_versions(query.get("versions", ""))
        found = self.server.store.listing(query.get("prefix", ""), versions=versions)
        start = dialect.start(query.get("pageToken", ""))
        end = start + min(self.server.page_size, int(query.get("maxResults") or 1000))
        page: Json = {"kind": "storage#objects"}
        if found[start:end]:
            page["items"] = [version.resource(self.server.store.bucket) for version in found[start:end]]
        if end < len(found):
            page["nextPageToken"] = dialect.token(end)
        return page

    def _media(self, name: str, generation: int | None, fault: FaultKind | None) -> None:
        version = self.server.store.get(name, generation)
        resource = version.resource(self.server.store.bucket)
        headers = {
            "Content-Type": str(version.properties.get("contentType", "application/octet-stream")),
            "x-goog-generation": str(version.generation),
            "x-goog-metageneration": "1",
            "x-goog-stored-content-length": str(len(version.content)),
            "x-goog-stored-content-encoding": str(version.properties.get("contentEncoding", "identity")),
            "x-goog-storage-class": "STANDARD",
        }
        hashes = self.server.dialect.hashes(str(resource["crc32c"]), str(resource["md5Hash"]))
        if hashes is not None:
            headers["x-goog-hash"] = hashes
        if "contentEncoding" in version.properties:
            headers["Content-Encoding"] = str(version.properties["contentEncoding"])
        content, status = version.content, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is not None and fault != "whole":
            start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            if start >= len(content):
                raise ApiError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        if fault == "corrupt":
            content = _flipped(content)
        self._answer(status, content, headers, keep_bytes=len(content) // 2 if fault == "truncate" else None)

    # ------------------------------------------------------------------------------------------------ resumable upload

    def _start(self, query: dict[str, str], body: bytes, fault: FaultKind | None) -> None:
        properties = json.loads(body)
        properties.setdefault("contentType", self.headers.get("x-upload-content-type", "application/octet-stream"))
        self.server.store.check(properties["name"], _conditions(query))
        upload_id = f"session-{len(self.server.sessions) + 1}"
        self.server.sessions[upload_id] = Session(properties["name"], properties, _conditions(query))
        location = f"{self.server.url}{urlsplit(self.path).path}?uploadType=resumable&upload_id={upload_id}"
        self._done(200, None, fault, {"Location": location})

    def _chunk(self, query: dict[str, str], body: bytes, fault: FaultKind | None) -> None:
        session = self.server.sessions[query["upload_id"]]
        if session.finished is None:
            self._keep(session, body, fault)
        if session.finished is not None:
            misdescribed = {"crc32c": "AAAAAA=="} if fault == "misdescribe" else {}
            self._done(200, {**session.finished, **misdescribed}, fault)
        else:
            reached = {"Range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
            self._done(308, None, fault, reached)

    def _keep(self, session: Session, body: bytes, fault: FaultKind | None) -> None:
        """Add a chunk; bytes that are there already are ignored, and the last one commits the object."""
        asked = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers["Content-Range"])
        assert asked is not None
        total = None if asked[3] == "*" else int(asked[3])
        if asked[1] is not None:
            start, end = int(asked[1]), int(asked[2])
            assert end - start + 1 == len(body)
            if start > len(session.content):
                raise ApiError(400, "invalid", "a gap")
            if end + 1 != total and len(body) % QUANTUM_BYTES:
                raise ApiError(400, "invalid", "chunks are multiples of 256 KiB")
            fresh = body[len(session.content) - start :]
            fresh = _flipped(fresh) if fault == "corrupt on arrival" else fresh
            session.content += fresh[:QUANTUM_BYTES] if fault == "partial" else fresh
        if total is not None and len(session.content) == total:
            version = self.server.store.insert(
                session.name, bytes(session.content), session.properties, session.conditions
            )
            session.finished = version.resource(self.server.store.bucket)

    # ------------------------------------------------------------------------------------------------ answers

    def _done(
        self, status: int, resource: Json | None, fault: FaultKind | None, headers: dict[str, str] | None = None
    ) -> None:
        """Answer a request that took effect, unless its answer is to be lost."""
        if fault == "stall after":
            self.server.stall_over.wait(20)
        if fault in ("reset after", "stall after"):
            raise Reset
        if resource is None:
            self._answer(status, b"", headers or {})
        else:
            self._json(status, resource)

    def _json(self, status: int, resource: Json) -> None:
        content = json.dumps(self.server.dialect.resource(resource)).encode()
        self._answer(status, content, {"Content-Type": "application/json; charset=UTF-8"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str], keep_bytes: int | None = None) -> None:
        self.send_response(status)
        dialect = self.server.dialect
        for key, value in headers.items():
            self.send_header(dialect.header(key), value)
        if not dialect.keeps_connections:
            self.send_header("Connection", "close")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:keep_bytes])
        self.wfile.flush()
        if keep_bytes is not None:
            self.close_connection = True

    def _reset(self) -> None:
        """Close with RST, as a broken network does; a plain close would be a polite end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.rfile.close()
        self.connection.close()


def _flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def _conditions(query: dict[str, str]) -> dict[str, int]:
    return {key: int(query[key]) for key in ("ifGenerationMatch", "ifGenerationNotMatch") if key in query}


def _parts(body: bytes, content_type: str) -> tuple[Json, bytes]:
    """Take a multipart/related body apart: the resource and the media."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    assert boundary is not None
    mark = b"--" + boundary[1].encode()
    _, resource, media = body.split(mark, 2)
    properties: Json = json.loads(resource.split(b"\r\n\r\n", 1)[1])
    head, content = media.split(b"\r\n\r\n", 1)
    declared = re.search(rb"content-type:\s*(\S+)", head, re.IGNORECASE)
    properties.setdefault("contentType", declared[1].decode() if declared else "application/octet-stream")
    return properties, content[: content.rindex(b"\r\n" + mark + b"--")]
