"""Shapes in and out, by subject; /openapi.json is generated from them."""
