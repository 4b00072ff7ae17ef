"""A slow and failing line: three seconds on each call.

A call that a test looks at is held until the test has looked, so that nothing here depends on who is faster.
"""

import fnmatch
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import expect

SECONDS = 3


class SlowLine:
    """Every call of a page to the API takes three seconds; one that is held takes until the test is done with it."""

    def __init__(self, visitor):
        self.page, self.calls = visitor.page, []
        self._visitor, self._pattern, self._held = visitor, None, []
        self.page.route("**/v1/**", self._take)

    def _take(self, route):
        asked = urlsplit(route.request.url)
        call = f"{route.request.method} {asked.path}{'?' if asked.query else ''}{asked.query}"
        self.calls.append(call)
        if self._pattern and fnmatch.fnmatchcase(call, self._pattern):
            self._held.append(route)
            return
        self.page.wait_for_timeout(SECONDS * 1000)
        route.continue_()

    @contextmanager
    def held(self, pattern, *, lost=False):
        """Hold calls such as "POST */sms" for this block; at its end they go on, or are lost."""
        self._pattern, began = pattern, time.monotonic()
        yield
        self.page.wait_for_timeout(max(0.0, SECONDS - (time.monotonic() - began)) * 1000)
        self._pattern = None
        for route in self._held:
            if lost:
                route.abort()
            else:
                route.continue_()
        self._held.clear()

    def count(self, pattern):
        return len(fnmatch.filter(self.calls, pattern))

    def end(self):
        self.page.unroute_all(behavior="ignoreErrors")
        # What Chromium says of a call that was lost on purpose.
        self._visitor.complaints[:] = [one for one in self._visitor.complaints if "ERR_FAILED" not in one]


def says_that_it_waits(place):
    expect(place.locator(".slow")).to_contain_text("longer than usual")


def says_that_no_answer_came(place):
    expect(place.locator(".form-error").filter(visible=True)).to_contain_text("No answer.")
    expect(place.locator(".slow")).to_have_count(0)


def lose_the_first_answers(page, path, count):
    """Have the first calls that succeed done, and their answers lost."""
    lost = []

    def take(route):
        answer = route.fetch()
        if answer.ok and len(lost) < count:
            lost.append(answer)
            route.abort()
        else:
            route.fulfill(response=answer)

    page.route(path, take)
