"""Every probe, in the order of the table of attacks."""

from types import ModuleType

from deploy.attack.probe import Probe
from deploy.attack.probes import (
    accounts,
    broker,
    budgets,
    ceremony,
    challenges,
    codes,
    dear,
    devices,
    edge,
    factors,
    guessing,
    heard,
    hostile,
    known_devices,
    operators,
    pages,
    pumping,
    repeats,
    resets,
    restored,
    roads,
    services,
    sessions,
    slow_connections,
    sms,
    stores,
    stores_divided,
    timing,
    under_way,
    what_ends_what,
)

MODULES: tuple[ModuleType, ...] = (
    *(budgets, codes, factors, roads),
    *(accounts, devices, known_devices, guessing, hostile, pages, pumping),
    *(sessions, slow_connections, sms, stores, timing),
    *(what_ends_what, under_way, challenges, resets, ceremony, operators),
    *(broker, stores_divided, repeats, restored, dear, edge, services, heard),
)

PROBES: tuple[Probe, ...] = tuple(
    sorted((probe for module in MODULES for probe in module.PROBES), key=lambda probe: (probe.row, probe.name))
)
