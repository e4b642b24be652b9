#!/usr/bin/env bash
# Runs once, on the primary's empty data folder, while only the local socket is open: roles, replication, limits.
# Compose mounts it into /docker-entrypoint-initdb.d; the stack without Docker runs it the same way.
set -euo pipefail

: "${PGDATA:?}" "${POSTGRES_USER:?}" "${POSTGRES_PASSWORD:?}" "${POSTGRES_DB:?}"
app_user=${POSTGRES_APP_USER:-sofipo_app}
app_password=${POSTGRES_APP_PASSWORD:-sofipo_app}
replica_user=${POSTGRES_REPLICA_USER:-replicator}
replica_password=${POSTGRES_REPLICA_PASSWORD:-replicator}

export PGPASSWORD=$POSTGRES_PASSWORD
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set app_user="$app_user" --set app_password="$app_password" \
  --set replica_user="$replica_user" --set replica_password="$replica_password" \
  --set database="$POSTGRES_DB" <<'SQL'
CREATE ROLE :"replica_user" LOGIN REPLICATION PASSWORD :'replica_password';
-- Keeps the log the replica still needs; max_slot_wal_keep_size below bounds it.
SELECT pg_create_physical_replication_slot('sofipo_replica');

-- The application owns nothing and waits for nothing for long; migrations grant it what it may do.
CREATE ROLE :"app_user" LOGIN PASSWORD :'app_password';
ALTER ROLE :"app_user" SET lock_timeout = '3s';
ALTER ROLE :"app_user" SET statement_timeout = '5s';
ALTER ROLE :"app_user" SET idle_in_transaction_session_timeout = '5s';
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"app_user";

ALTER SYSTEM SET wal_level = 'replica';
ALTER SYSTEM SET max_wal_senders = 10;
ALTER SYSTEM SET max_replication_slots = 10;
ALTER SYSTEM SET max_slot_wal_keep_size = '2GB';
ALTER SYSTEM SET hot_standby = 'on';
-- Reads of the replica are short (statement_timeout), so vacuum may wait for them instead of cancelling them.
ALTER SYSTEM SET hot_standby_feedback = 'on';
ALTER SYSTEM SET max_connections = 150;
ALTER SYSTEM SET password_encryption = 'scram-sha-256';
-- Statements here are short: compiling them costs more than it saves.
ALTER SYSTEM SET jit = 'off';
SQL

# Replication is offered to hosts of the server's own networks only, with a password.
printf '\nhost replication %s samenet scram-sha-256\n' "$replica_user" >>"$PGDATA/pg_hba.conf"
