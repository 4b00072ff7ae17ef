"""The development inbox; registered in development only."""

from flask import Blueprint, Response, jsonify

from services.auth.routes.guard import deps
from shared import dev_inbox

blueprint = Blueprint("development", __name__)


@blueprint.get("/dev/inbox.json")
def inbox() -> Response:
    """What the console providers "sent", newest first."""
    return jsonify(dev_inbox.messages(deps().redis))
