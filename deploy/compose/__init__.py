"""`make up`: the stack in containers on this machine, and what a production server needs before `docker compose up`."""
