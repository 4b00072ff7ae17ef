"""notify, the courier: it sends SMS codes and notices, and reports what became of them as events."""
