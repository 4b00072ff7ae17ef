"""The gateway's rules: pure, no framework, no store, no network."""
