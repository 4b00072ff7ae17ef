"""``make demo``: plays the whole story against a running stack through the public API only."""
