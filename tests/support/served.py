"""An app for tests of the server: it tells what reached it."""

import os
import threading
import time
from pathlib import Path

from flask import Response, request, send_file

from shared import bulkhead
from shared.web import create_base_app

LARGE = Path(os.environ.get("SERVED_LARGE", "/dev/null"))
RAN = Path(os.environ.get("SERVED_RAN", "/dev/null"))

app, _ = create_base_app("served", title="served", version="v1", checks={}, docs=False)
SLOW_THREADS, WORK_SECONDS = 3, 3
app.extensions[bulkhead.EXTENSION] = bulkhead.Bulkhead(["POST /work"], threads=SLOW_THREADS)


@app.post("/echo")
def echo():
    body = request.get_data()
    with RAN.open("ab") as ran:
        ran.write(body + b"\n")
    return {"length": len(body), "text": body.decode("latin-1")}


@app.post("/work")
def work():
    time.sleep(WORK_SECONDS)
    return {"thread": threading.current_thread().name}


@app.get("/seen", defaults={"path": ""})
@app.get("/seen/<path:path>")
def seen(path):
    names = ("REMOTE_ADDR", "SERVER_PORT", "QUERY_STRING", "SERVER_PROTOCOL", "wsgi.url_scheme")
    return {
        "path": path,
        "headers": dict(request.headers),
        "environ": {name: request.environ[name] for name in names},
    }


@app.get("/large")
def large():
    return send_file(LARGE, mimetype="application/octet-stream")


@app.get("/slow")
def slow():
    time.sleep(1.5)
    return {"slow": True}


@app.get("/parts")
def parts():
    return Response((part for part in ("a", "b", "c")), mimetype="text/plain")


@app.get("/broken")
def broken():
    def half():
        yield "a"
        raise RuntimeError("in the middle of an answer")

    return Response(half())
