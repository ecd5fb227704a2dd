#!/usr/bin/env bash
# Signs up, looks around, joins a room, sends a message and reads it back: with curl, and jq to read JSON.
#
#   examples/chat.sh http://127.0.0.1:3000 ada@example.org ada 'a quiet harbour at dusk'
set -euo pipefail
server=$1 email=$2 user=$3 password=$4

# call METHOD PATH [FIELD VALUE]...: asks the API, with the token as soon as there is one; the fields are the JSON body's.
token=
call() {
  local method=$1 path=$2
  shift 2
  local request=(--silent --show-error --fail-with-body --request "$method")
  [ -z "$token" ] || request+=(--header "Authorization: Bearer $token")
  if [ $# -gt 0 ]; then
    request+=(--json "$(jq --null-input '[$ARGS.positional | _nwise(2) | {(.[0]): .[1]}] | add' --args "$@")")
  fi
  curl "${request[@]}" "$server/api/$path"
}

token=$(call POST auth/register email "$email" username "$user" password "$password" | jq --raw-output .token)
echo "I am $(call GET me | jq --raw-output .user)."

call GET rooms | jq --raw-output '.rooms[] | "\(.room): \(.topic) (\(.members) members, \(.unread) unread)"'

call POST rooms/random/join >/dev/null
# Our own id for the message: whoever is not sure that it has arrived sends it again, and it is there once.
id=$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen)
for _ in once again; do
  call POST rooms/random/messages id "$id" text "Hello from a script" | jq --raw-output '"It is event \(.seq) of \(.room)."'
done

call GET rooms/random/messages | jq --raw-output '.events[] | select(.type == "message") | "\(.user): \(.text)"'

call POST auth/logout
echo "The token is worth nothing now: $(curl --silent --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $token" "$server/api/me")"
