"""Invented people with realistic names and addresses, so that a page of a test looks as a customer's page does."""

import secrets
from dataclasses import dataclass

FIRST = (
    *("Adele", "Amara", "Bruno", "Carla", "Daniel", "Elena", "Farid", "Greta", "Hanna", "Ines", "Jonas", "Keiko"),
    *("Leila", "Marco", "Nadia", "Oscar", "Paula", "Rafael", "Selma", "Tomas", "Uma", "Viktor", "Wanda", "Yusuf"),
)
LAST = (
    *("Abara", "Bauer", "Castillo", "Dubois", "Eriksen", "Fontana", "Garcia", "Hoffman", "Ivanov", "Jansen", "Kim"),
    *("Larsson", "Moreau", "Nowak", "Okoye", "Pereira", "Quist", "Rossi", "Silva", "Tanaka", "Vogel", "Weber"),
)


@dataclass(frozen=True)
class Invented:
    """A person who is not in the database yet."""

    name: str
    email: str


def invented() -> Invented:
    """A new person. Two people may share a name, but no address: it holds a random tag, which determines the name."""
    tag = secrets.token_hex(3)
    surnames, first = divmod(int(tag, 16), len(FIRST))
    given, surname = FIRST[first], LAST[surnames % len(LAST)]
    return Invented(f"{given} {surname}", f"{given}.{surname}.{tag}@northwind-traders.example.com".lower())
