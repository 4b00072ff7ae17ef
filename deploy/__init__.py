"""How Latchkey is started: here, `local`, one machine under a process supervisor."""
