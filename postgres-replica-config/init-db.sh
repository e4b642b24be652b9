#!/usr/bin/env bash
# Entry point of the replica: copies the primary when there is no usable copy, then becomes the server.
# Arguments are passed to postgres. Safe to run again; a lost, half-made or foreign copy is made anew.
set -euo pipefail

: "${PGDATA:?}"
primary_host=${POSTGRES_HOST:-postgres-primary}
primary_port=${POSTGRES_PORT:-5432}
replica_user=${POSTGRES_REPLICA_USER:-replicator}
slot=sofipo_replica
# Written last, so that a copy that was interrupted is never mistaken for a whole one.
finished=$PGDATA/base_backup_finished

# Official images start as root; the server must not.
if [[ $(id -u) == 0 ]]; then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres "$PGDATA"
  # The folder of its socket is made anew with every container, as root's.
  chown postgres:postgres /var/run/postgresql
  exec gosu postgres "$0" "$@"
fi

export PGPASSWORD=${POSTGRES_REPLICA_PASSWORD:-replicator} PGCONNECT_TIMEOUT=5

on_primary() { # one statement of the replication protocol or SQL, answered without decoration
  psql --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --command "$1" \
    "host=$primary_host port=$primary_port user=$replica_user dbname=postgres ${2:-}"
}

belongs_to_primary() { # true also when the primary cannot be asked: an old copy still answers reads
  local theirs ours
  theirs=$(on_primary 'IDENTIFY_SYSTEM' 'replication=true' 2>/dev/null | cut -d'|' -f1) || return 0
  ours=$(pg_controldata "$PGDATA" | sed -n 's/^Database system identifier: *//p')
  [[ -z $theirs || $theirs == "$ours" ]]
}

slot_keeps_nothing() { # it is gone, or the replica was away for longer than max_slot_wal_keep_size lasts
  local status
  status=$(slot_status) || return 1
  [[ -z $status || $status == lost ]]
}

slot_status() { # empty when the primary has no such slot; fails when it cannot be asked
  on_primary "SELECT coalesce(wal_status, 'unused') FROM pg_replication_slots WHERE slot_name = '$slot'" 2>/dev/null
}

wait_for_primary() {
  until pg_isready --quiet --host "$primary_host" --port "$primary_port" --username "$replica_user" --dbname postgres; do sleep 0.2; done
}

renew_slot() {
  if [[ -n $(slot_status) ]]; then on_primary "DROP_REPLICATION_SLOT $slot" 'replication=true'; fi
  on_primary "CREATE_REPLICATION_SLOT $slot PHYSICAL RESERVE_WAL" 'replication=true'
}

copy_primary() {
  wait_for_primary
  if slot_keeps_nothing; then renew_slot; fi
  mkdir -p "$PGDATA"
  find "$PGDATA" -mindepth 1 -delete
  chmod 700 "$PGDATA"
  pg_basebackup --host "$primary_host" --port "$primary_port" --username "$replica_user" --pgdata "$PGDATA" \
    --write-recovery-conf --slot "$slot" --wal-method stream --checkpoint fast --no-password
  touch "$finished"
  echo "the replica is a fresh copy of $primary_host:$primary_port"
}

if [[ ! -f $finished ]]; then
  copy_primary
elif ! belongs_to_primary; then
  echo "the copy belongs to another primary: making a new one"
  copy_primary
elif slot_keeps_nothing; then
  echo "the primary no longer keeps the log this copy needs: making a new one"
  copy_primary
fi
chmod 700 "$PGDATA"
# The settings of today, not those of the day the copy was made; the password stays in the environment.
exec postgres "$@" -c "primary_conninfo=host=$primary_host port=$primary_port user=$replica_user application_name=$slot"
