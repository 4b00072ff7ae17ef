"""The gateway: accounts, passwords, sessions, devices, resets, the timeline. The only service that is published."""
