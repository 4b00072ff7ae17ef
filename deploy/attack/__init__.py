"""The known ways around a second factor, tried on a deployment over its public API: `make attack`."""
