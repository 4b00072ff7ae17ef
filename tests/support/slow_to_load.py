"""A web application that takes its time to load, as ours do on a busy machine; it says which process answers."""

import os
import time

time.sleep(float(os.environ["SLOW_TO_LOAD_SECONDS"]))


def app(_environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
