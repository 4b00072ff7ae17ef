"""Every probe, in the order of the table of attacks."""

from types import ModuleType

from deploy.attack.probe import Probe

MODULES: tuple[ModuleType, ...] = ()

PROBES: tuple[Probe, ...] = tuple(
    sorted((probe for module in MODULES for probe in module.PROBES), key=lambda probe: (probe.row, probe.name))
)
