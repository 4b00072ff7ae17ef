"""The whole stack on one machine: `make run` and what tests, demo and benchmark build on it."""
