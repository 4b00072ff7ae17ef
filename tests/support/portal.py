"""The portal as a browser without scripts has it."""

from html.parser import HTMLParser

from tests.support import auth
from tests.support.auth import PASSWORD

ORIGIN = "http://portal.example:8080"
PAGES = ("/two-factor", "/team", "/security")
SUPPORT_PAGES = ("/support", "/support/accounts/acc_1")
OPEN_PAGES = ("/login", "/reset/cancel", "/reset/confirm", "/browser/confirm", "/dev/inbox")


class Browser:
    def __init__(self, client):
        self.client = client

    def get(self, path, asked=None, **headers):
        query = None if asked is None else {"next": asked}
        return self.client.get(
            path, query_string=query, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def post(self, path, origin=ORIGIN, **form):
        return self.client.post(path, data=form, headers={"Origin": origin})

    def log_in(self, email, password=PASSWORD):
        return self.post("/login", email=email, password=password)

    def signed_in(self, deps, account, *factors):
        _session, token = auth.sign_in(deps, account, *factors)
        self.client.set_cookie(deps.settings.session_cookie, token)
        return self


class Page(HTMLParser):
    """What a page holds, by element."""

    def __init__(self, response):
        super().__init__()
        self.tags = []
        self.text = response.get_data(as_text=True)
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]

    def shown(self, element):
        return "hidden" not in next(attrs for _, attrs in self.tags if attrs.get("id") == element)


def challenge_of(response):
    assert response.status_code == 303, response.get_data(as_text=True)
    assert response.headers["Location"].startswith("/login/")
    return response.headers["Location"].removeprefix("/login/")
