"""HTTP in and out, nothing else: a blueprint for each subject; guard.py says who asks."""
