"""The three services of Latchkey. They never import each other."""
