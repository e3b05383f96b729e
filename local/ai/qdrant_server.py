"""The part of Qdrant's REST interface that Weir uses, over the Qdrant engine in this process (qdrant-edge).

    python qdrant_server.py PORT DATADIR

For laptops and tests: it announces itself as the embedded engine, so that nobody takes it for a Qdrant server. One
folder a collection under DATADIR; an acknowledged write is on disk. Vectors are compared one by one (no index is
built), which is exact and fast enough below some 50,000 points. Not covered: named and sparse vectors, payload
updates, aliases, snapshots; such requests get 404 or 400.
"""

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import qdrant_edge as edge

TITLE = "qdrant-edge embedded"
VERSION = "1.19.0"  # The client warns unless major is equal and minor differs by at most one.
MAX_BODY_BYTES = 32 << 20
COLLECTION_PATH = re.compile(r"/collections/([A-Za-z0-9_-]{1,100})(/.*)?")
COMPLETED = {"operation_id": 0, "status": "completed"}


class Refused(Exception):
    """A request that cannot be served: HTTP status and reason."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Collections:
    """The shards by name. Reads run side by side; creating, writing and dropping take turns."""

    def __init__(self, folder):
        self.folder = folder
        self.turn = threading.Lock()
        self.shards = {}
        self.vectors = {}
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.startswith("."):
                shutil.rmtree(path)  # A creation or removal that a crash cut short.
                continue
            with open(os.path.join(path, "vectors.json"), encoding="utf-8") as file:
                self.vectors[name] = json.load(file)
            self.shards[name] = edge.EdgeShard.load(os.path.join(path, "shard"))

    def get(self, name):
        if name not in self.shards:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.shards[name]

    def create(self, name, vectors):
        with self.turn:
            if name in self.shards:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            distance = getattr(edge.Distance, str(vectors["distance"]))
            config = edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=int(vectors["size"]), distance=distance))
            # Made under a hidden name and renamed when whole, so that a crash leaves no half collection.
            hidden, path = os.path.join(self.folder, "." + name), os.path.join(self.folder, name)
            shutil.rmtree(hidden, ignore_errors=True)
            os.makedirs(hidden)
            edge.EdgeShard.create(os.path.join(hidden, "shard"), config).close()
            with open(os.path.join(hidden, "vectors.json"), "w", encoding="utf-8") as file:
                json.dump(vectors, file)
            os.rename(hidden, path)
            self.shards[name] = edge.EdgeShard.load(os.path.join(path, "shard"))
            self.vectors[name] = vectors
        return True

    def drop(self, name):
        with self.turn:
            if name not in self.shards:
                return False
            self.shards.pop(name).close()
            self.vectors.pop(name)
            hidden = os.path.join(self.folder, "." + name)
            os.rename(os.path.join(self.folder, name), hidden)
            shutil.rmtree(hidden)
        return True

    def update(self, name, operation):
        with self.turn:
            shard = self.get(name)
            shard.update(operation)
            shard.flush()
        return COMPLETED

    def close(self):
        with self.turn:
            for shard in self.shards.values():
                shard.flush()
                shard.close()


def point_id(value):
    return uuid.UUID(value) if isinstance(value, str) else value


def condition(node):
    if any(key in node for key in ("must", "should", "must_not")):
        return to_filter(node)
    if "has_id" in node:
        return edge.HasIdCondition({point_id(value) for value in node["has_id"]})
    if "match" in node:
        match = node["match"]
        if "value" in match:
            return edge.FieldCondition(key=node["key"], match=edge.MatchValue(value=match["value"]))
        if "any" in match:
            return edge.FieldCondition(key=node["key"], match=edge.MatchAny(match["any"]))
    if "range" in node:
        bounds = {key: node["range"].get(key) for key in ("gt", "gte", "lt", "lte")}
        return edge.FieldCondition(key=node["key"], range=edge.RangeFloat(**bounds))
    raise Refused(400, "Unsupported condition " + json.dumps(node))


def to_filter(node):
    if not node:
        return None

    def conditions(key):
        value = node.get(key)
        if value is None:
            return None
        return [condition(item) for item in (value if isinstance(value, list) else [value])]

    return edge.Filter(must=conditions("must"), should=conditions("should"), must_not=conditions("must_not"))


def as_json(point, scored=False):
    out = {"id": str(point.id) if isinstance(point.id, uuid.UUID) else point.id, "payload": point.payload}
    if point.vector is not None:
        out["vector"] = point.vector
    if scored:
        out.update(score=point.score, version=0)
    return out


class Routes:
    def __init__(self, collections):
        self.collections = collections

    def answer(self, method, path, body):
        if path == "/collections" and method == "GET":
            return {"collections": [{"name": name} for name in self.collections.shards]}
        parts = COLLECTION_PATH.fullmatch(path)
        handler = parts and self.ROUTES.get((method, parts.group(2) or ""))
        if not handler:
            raise Refused(404, f"No route {method} {path}")
        return handler(self, parts.group(1), body)

    def exists(self, name, _):
        return {"exists": name in self.collections.shards}

    def create(self, name, body):
        return self.collections.create(name, body["vectors"])

    def drop(self, name, _):
        return self.collections.drop(name)

    def describe(self, name, _):
        shard = self.collections.get(name)
        params = {"vectors": self.collections.vectors[name], "shard_number": 1, "replication_factor": 1}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "points_count": shard.count(edge.CountRequest(exact=True)),
            "indexed_vectors_count": 0,
            "segments_count": 1,
            "config": {"params": params},
            "payload_schema": {},
        }

    def index(self, name, _):
        """Accepted and without effect: filters scan the payload."""
        self.collections.get(name)
        return COMPLETED

    def upsert(self, name, body):
        points = [edge.Point(point_id(p["id"]), p["vector"], p.get("payload")) for p in body["points"]]
        return self.collections.update(name, edge.UpdateOperation.upsert_points(points))

    def delete(self, name, body):
        if "points" in body:
            operation = edge.UpdateOperation.delete_points([point_id(value) for value in body["points"]])
        else:
            operation = edge.UpdateOperation.delete_points_by_filter(to_filter(body["filter"]))
        return self.collections.update(name, operation)

    def retrieve(self, name, body):
        ids = [point_id(value) for value in body["ids"]]
        points = self.collections.get(name).retrieve(ids, body.get("with_payload", True), body.get("with_vector", False))
        return [as_json(point) for point in points]

    def count(self, name, body):
        request = edge.CountRequest(exact=body.get("exact", True), filter=to_filter(body.get("filter")))
        return {"count": self.collections.get(name).count(request)}

    def scroll(self, name, body):
        start = body.get("offset")
        request = edge.ScrollRequest(
            offset=None if start is None else point_id(start),
            limit=body.get("limit", 10),
            filter=to_filter(body.get("filter")),
            with_payload=body.get("with_payload", True),
            with_vector=body.get("with_vector", False),
        )
        points, following = self.collections.get(name).scroll(request)
        following = str(following) if isinstance(following, uuid.UUID) else following
        return {"points": [as_json(point) for point in points], "next_page_offset": following}

    def query(self, name, body):
        vector = body["query"]
        return {"points": self.nearest(name, vector["nearest"] if isinstance(vector, dict) else vector, body, False)}

    def search(self, name, body):
        return self.nearest(name, body["vector"], body, True)

    def nearest(self, name, vector, body, with_payload):
        request = edge.QueryRequest(
            limit=body.get("limit", 10),
            offset=body.get("offset"),
            query=edge.Query.Nearest(vector),
            filter=to_filter(body.get("filter")),
            score_threshold=body.get("score_threshold"),
            with_payload=body.get("with_payload", with_payload),
            with_vector=body.get("with_vector", False),
        )
        return [as_json(point, scored=True) for point in self.collections.get(name).query(request)]

    ROUTES = {
        ("GET", "/exists"): exists,
        ("PUT", ""): create,
        ("DELETE", ""): drop,
        ("GET", ""): describe,
        ("PUT", "/index"): index,
        ("PUT", "/points"): upsert,
        ("POST", "/points"): retrieve,
        ("POST", "/points/delete"): delete,
        ("POST", "/points/count"): count,
        ("POST", "/points/scroll"): scroll,
        ("POST", "/points/query"): query,
        ("POST", "/points/search"): search,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # Head and body in one write: two small ones cost 40 ms through Nagle's algorithm.
    routes = None

    def log_message(self, format, *args):
        pass

    def reply(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reply_json(self, status, value):
        self.reply(status, json.dumps(value).encode())

    def handle_request(self):
        begun = time.perf_counter()
        path = self.path.split("?")[0].rstrip("/") or "/"
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            return self.reply_json(413, {"status": {"error": f"More than {MAX_BODY_BYTES} bytes"}, "time": 0.0})
        raw = self.rfile.read(length)
        if path in ("/healthz", "/readyz", "/livez"):
            return self.reply(200, b"healthz check passed", "text/plain")
        if path == "/":
            return self.reply_json(200, {"title": TITLE, "version": VERSION})
        try:
            result = self.routes.answer(self.command, path, json.loads(raw) if raw else {})
        except Refused as error:
            return self.reply_json(error.status, {"status": {"error": str(error)}, "time": 0.0})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return self.reply_json(400, {"status": {"error": f"{type(error).__name__}: {error}"}, "time": 0.0})
        except Exception as error:  # The engine raises bare exceptions, also for what the caller got wrong.
            return self.reply_json(500, {"status": {"error": f"{type(error).__name__}: {error}"}, "time": 0.0})
        return self.reply_json(200, {"result": result, "status": "ok", "time": time.perf_counter() - begun})

    do_GET = do_PUT = do_POST = do_DELETE = handle_request


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    collections = Collections(folder)
    Handler.routes = Routes(collections)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True

    def stop(*_):
        # shutdown() waits for serve_forever(), which this handler interrupts: another thread has to call it.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{TITLE} listens on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    collections.close()


if __name__ == "__main__":
    main()
