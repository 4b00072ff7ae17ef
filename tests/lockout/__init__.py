"""Gateway and verifier in one process on a clock that stands still, and a search for calls that break their limits."""
