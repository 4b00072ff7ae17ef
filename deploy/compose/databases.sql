-- A database and a user for each owner of tables, and the relay's user. Run by the superuser at each start; a second
-- run changes nothing but a password whose file was changed.

-- An error would carry its statement, and with it a password, into the server's log.
SET log_statement TO none;
SET log_min_error_statement TO panic;

\set auth_password `cat /run/secrets/auth_database_password`
\set otp_password `cat /run/secrets/otp_database_password`
\set relay_password `cat /run/secrets/relay_database_password`

SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['auth', 'otp', 'relay']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE auth PASSWORD :'auth_password';
ALTER ROLE otp PASSWORD :'otp_password';
ALTER ROLE relay PASSWORD :'relay_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, name)
  FROM unnest(ARRAY['auth', 'otp']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
REVOKE ALL ON DATABASE auth, otp, postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE auth, otp TO relay;
