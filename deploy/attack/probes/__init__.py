"""Every probe, in the order of the table of attacks."""

from types import ModuleType

from deploy.attack.probe import Probe
from deploy.attack.probes import (
    accounts,
    budgets,
    codes,
    devices,
    factors,
    hostile,
    pages,
    pumping,
    roads,
    sessions,
    sms,
    stores,
    timing,
)

MODULES: tuple[ModuleType, ...] = (
    *(budgets, codes, factors, roads),
    *(accounts, devices, hostile, pages, pumping, sessions, sms, stores, timing),
)

PROBES: tuple[Probe, ...] = tuple(
    sorted((probe for module in MODULES for probe in module.PROBES), key=lambda probe: (probe.row, probe.name))
)
