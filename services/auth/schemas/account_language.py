"""The language of an account."""

from marshmallow import Schema, validate

from shared.bodies import Text
from shared.texts.languages import LANGUAGES


class LanguageArgs(Schema):
    """A language that the product speaks."""

    language = Text(required=True, validate=validate.OneOf(list(LANGUAGES)), metadata={"example": "pt"})
