"""auth: the gateway. Accounts, passwords, sessions, devices, resets and the timeline; the only service that is published."""
