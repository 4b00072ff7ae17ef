-- What the relay may do: read what is recorded, mark what is published or cannot be, forget what is old. Run after the migrations.
\connect auth
GRANT SELECT, UPDATE (not_before, published_at), DELETE ON outbox TO relay;
GRANT SELECT, DELETE ON handled_messages TO relay;
\connect otp
GRANT SELECT, UPDATE (not_before, published_at), DELETE ON outbox TO relay;
GRANT SELECT, DELETE ON handled_messages TO relay;
