"""``make bench``: drives a stack of its own and prints one table. A benchmark, not a test: it asserts nothing."""
