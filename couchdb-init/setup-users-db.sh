#!/usr/bin/env bash
# Prepares CouchDB for business events: system databases, the event database, the accounts of consumer and auditor, and
# the rule that a stored event never changes. Safe to run again.
# Settings: COUCHDB_URL (or COUCHDB_HOST, COUCHDB_PORT), COUCHDB_USER, COUCHDB_PASSWORD,
#           COUCHDB_CONSUMER_USER, COUCHDB_CONSUMER_PASSWORD, COUCHDB_AUDITOR_USER, COUCHDB_AUDITOR_PASSWORD.
set -euo pipefail

url=${COUCHDB_URL:-http://${COUCHDB_HOST:-127.0.0.1}:${COUCHDB_PORT:-5984}}
url=${url%/}
admin=${COUCHDB_USER:-admin}
admin_password=${COUCHDB_PASSWORD:-password}
consumer=${COUCHDB_CONSUMER_USER:-event_consumer}
consumer_password=${COUCHDB_CONSUMER_PASSWORD:-event_consumer}
auditor=${COUCHDB_AUDITOR_USER:-event_auditor}
auditor_password=${COUCHDB_AUDITOR_PASSWORD:-event_auditor}
database=business_events
wait_seconds=60

json() { # a JSON string
  local text=$1
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

call() { # METHOD PATH [BODY]: sets $status and $answer; the password reaches curl by its standard input
  local method=$1 path=$2 reply
  local options=(--silent --show-error --max-time 20 --config - --request "$method" --write-out '\n%{http_code}'
    --header 'Accept: application/json' --header 'Content-Type: application/json')
  (($# < 3)) || options+=(--data-binary "$3")
  reply=$(printf 'user = %s\n' "$(json "$admin:$admin_password")" | curl "${options[@]}" "$url$path")
  status=${reply##*$'\n'}
  answer=${reply%$'\n'*}
}

expect() { # WHAT STATUS...: stops with a sentence unless the last call answered with one of these
  local what=$1
  shift
  [[ " $* " == *" $status "* ]] && return
  echo "CouchDB at $url did not let us $what: HTTP $status $answer" >&2
  exit 1
}

wait_until_up() {
  local deadline=$((SECONDS + wait_seconds))
  until curl --silent --fail --max-time 5 --output /dev/null "$url/_up"; do
    ((SECONDS < deadline)) || { echo "CouchDB at $url did not answer within $wait_seconds s" >&2; exit 1; }
    sleep 0.2
  done
}

revision() { sed -nE 's/.*"_rev" *: *"([^"]+)".*/\1/p' <<<"$answer" | head -n 1; }

store() { # PATH FIELDS WHAT: puts the document {FIELDS}, over the stored one when there is one
  local fields=$2 found
  call GET "$1"
  expect "read $3" 200 404
  if [[ $status == 200 ]]; then
    found=$(revision)
    fields="\"_rev\": \"$found\", $fields"
  fi
  call PUT "$1" "{$fields}"
  expect "store $3" 201 202
}

wait_until_up

for name in _users _replicator "$database?n=1&q=2"; do
  call PUT "/$name"
  expect "create the database ${name%%\?*}" 201 202 412
done

account() { # NAME PASSWORD ROLES: lets somebody sign in
  store "/_users/org.couchdb.user:$1" \
    "\"name\": $(json "$1"), \"password\": $(json "$2"), \"roles\": [$3], \"type\": \"user\"" "the account of $1"
}

account "$consumer" "$consumer_password" ""
account "$auditor" "$auditor_password" '"auditor"'

call PUT "/$database/_security" \
  "{\"admins\": {\"names\": [], \"roles\": [\"_admin\"]}, \"members\": {\"names\": [$(json "$consumer")], \"roles\": [\"auditor\"]}}"
expect "set who may read and write $database" 200

# Old events stay as they are for everybody, administrators included; design documents are the administrators' own. Who
# is a member may write in CouchDB, so the rule also keeps the auditor from it.
rule='function (newDoc, oldDoc, userCtx) {'
rule+=' if (userCtx.roles.indexOf(\"auditor\") !== -1) { throw({forbidden: \"auditors only read\"}); }'
rule+=' if (newDoc._id.indexOf(\"_design/\") === 0) {'
rule+=' if (userCtx.roles.indexOf(\"_admin\") === -1) { throw({forbidden: \"only administrators change the rules\"}); }'
rule+=' return; }'
rule+=' if (newDoc._deleted) { throw({forbidden: \"an event is never deleted\"}); }'
rule+=' if (oldDoc && !oldDoc._deleted) { throw({forbidden: \"an event is never changed\"}); } }'
store "/$database/_design/immutable" "\"language\": \"javascript\", \"validate_doc_update\": \"$rule\"" "the rule of immutability"

echo "CouchDB is ready: $database for $consumer and $auditor"
