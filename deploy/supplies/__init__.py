"""What the build takes from others: what an image holds, and whether anything is known against it."""
