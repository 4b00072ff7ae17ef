"""Rights in Redis and RabbitMQ: one table of users, and the servers' files that are generated from it."""
