"""SQL of the gateway's tables, a module for each subject."""
