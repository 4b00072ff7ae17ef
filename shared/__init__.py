"""What all three services speak: messages, keys, stores, limits and errors. Imports no service."""
