"""The measurement behind `make timing`: can the time of a refusal tell what was wrong."""
