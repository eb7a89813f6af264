#!/usr/bin/env bash
# Bans from a script: Couic's API over its Unix socket, with curl and jq.
#
#   program.sh ban CIDR SECONDS REASON | batch SECONDS < LIST | list | why ADDRESS | unban CIDR | follow
#
# The token is in a file: couicctl clients add -n example -g clientrw --policy drop --tag example --token-file FILE
set -euo pipefail

socket=${COUIC_SOCKET:-/var/run/couic/couic.sock}
token_file=${COUIC_TOKEN_FILE:-/etc/example/couic.token}
tag=example
out=$(mktemp)
trap 'rm -f "$out"' EXIT

request() { # curl with the socket and the token, which is not among the arguments, where every user could read it
  curl -s --unix-socket "$socket" -K <(printf 'header = "Authorization: Bearer %s"\n' "$(cat "$token_file")") "$@"
}

# The answer; or says why it was refused, and returns 9 if it is there already, 4 if it is not there, else 1. After 429 and
# 503, curl waits as long as Retry-After says, and tries again.
couic() { # METHOD PATH [curl options]
  local method=$1 path=$2 status
  shift 2
  status=$(request --retry 4 -o "$out" -w '%{http_code}' -X "$method" "$@" "http://couic/v1$path") \
    || { echo "couic does not answer at $socket" >&2; return 1; }
  case $status in
    2*) cat "$out" ;;
    404) return 4 ;;
    409) return 9 ;;
    *) jq -r --arg status "$status" '"refused (\($status) \(.code)): \(.message)"' "$out" >&2; return 1 ;;
  esac
}

ban() { # CIDR SECONDS REASON: one that is banned already is no failure
  local entry code=0
  entry=$(jq -nc --arg cidr "$1" --argjson ttl "$2" --arg reason "$3" --arg tag "$tag" \
    '{cidr: $cidr, ttl: $ttl, tag: $tag, metadata: {kind: "example", detail: $reason}}')
  couic POST /drop -H 'Content-Type: application/json' -d "$entry" | jq -r '"\(.cidr) is dropped"' || code=$?
  case $code in 0) ;; 9) echo "$1 is there already" ;; *) exit 1 ;; esac
}

batch() { # SECONDS: bans or renews what standard input lists, in one request for any number of networks
  jq -Rc --argjson ttl "$1" --arg tag "$tag" \
    'select(. != "") | {action: "add", entry: {cidr: ., ttl: $ttl, tag: $tag}}' \
    | couic POST /drop/batch -H 'Content-Type: application/x-ndjson' --data-binary @- \
    | jq -r '"\(.added) added, \(.updated) updated, \(.failed) failed", (.failures[] | "\(.cidr): \(.message)")'
}

list() { # the rules of this program
  couic GET "/drop?tag=$tag" -H 'Accept: application/x-ndjson' | jq -r .cidr
}

why() { # ADDRESS: the verdict, and the rule that decides
  couic GET "/lookup/$1" | jq -r '.verdict + (.decided_by | if . then ": \(.policy) \(.cidr)" else "" end)'
}

unban() { # CIDR: releases this program's claim; others may hold the rule, too
  local code=0
  couic DELETE "/drop/$1?tag=$tag" || code=$?
  case $code in 0) echo "$1 is released" ;; 4) echo "$1 is not there" ;; *) exit 1 ;; esac
}

follow() { # changes as they happen, over restarts of the daemon
  local line kind="" last=""
  while :; do
    while IFS= read -r line; do
      case $line in
        "id: "*) last=${line#id: } ;;
        "event: "*) kind=${line#event: } ;;
        "data: "*)
          if [ "$kind" = gap ]; then echo "some changes were missed: read the list again"
          else jq -r '"\(.action) \(.policy) \(.cidr)"' <<<"${line#data: }"; fi ;;
        "") kind="" ;;
      esac
    done < <(request -Nf --speed-limit 1 --speed-time 45 ${last:+-H "Last-Event-ID: $last"} "http://couic/v1/events?tag=$tag")
    wait $! || [ $? != 22 ] || { echo "refused: is the token right?" >&2; exit 1; }
    sleep 1
  done
}

case ${1:-} in
  ban | batch | list | why | unban | follow) "$@" ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
