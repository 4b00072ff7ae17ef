"""Names that people have, and that programs have refused."""

NAMES = (
    "\u0646\u06cc\u0644\u200c\u0631\u0648",  # Persian, with a zero-width non-joiner
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3\u0dca",  # Sinhala, with a zero-width joiner
    "Ann \U0001f469\u200d\U0001f4bb",  # an emoji of two characters and a joiner
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # the flag of Scotland
    "Jean\u00a0Dupont",
    "Zo\u0065\u0308 \u2013 O\u2019Neill",
)
