#!/bin/sh
# join.sh - takes part in a run with nothing but curl and the standard tools.
#
#     join.sh LINK [NAME]     LINK: trib://host:port/run#token, or http(s)://host/prefix/run#token,
#                             with or without ?pin=sha256:... before the #
#
# Joins, waits for a task, fetches the version it names, answers with an update in which every value
# is 0.001, and waits for the version that has counted it. Needs a model of F32 tensors (all are).
set -eu

link=${1:?usage: join.sh LINK [NAME]}
name=${2:-curl-$$}
case $link in
*'#'*) token=${link#*#} ;;
*) token= ;;
esac
url=${link%%#*}
case $url in
*'?pin=sha256:'*) pin=${url#*'?pin=sha256:'} ;;
*) pin= ;;
esac
case $pin$url in # trib:// means TLS unless the host is this machine, or with a pin
trib://127.* | trib://localhost:* | trib://'[::1]':*) url=http://${url#trib://} ;;
trib://*) url=https://${url#trib://} ;;
esac
url=${url%%'?'*}
url=${url%/}
run=${url%/*}/v1/runs/${url##*/}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

# A pin stands for all other checks of the certificate. It is hex in links, base64 for curl.
pinned=
if [ -n "$pin" ]; then
    bytes=
    while [ -n "$pin" ]; do
        rest=${pin#??}
        bytes=$bytes$(printf '\\%03o' "0x${pin%"$rest"}")
        pin=$rest
    done
    # shellcheck disable=SC2059 # the bytes are the format
    pinned="--insecure --pinnedpubkey sha256//$(printf "$bytes" | base64)"
fi

# call CURL-ARGUMENTS: the body goes to stdout; a refusal is printed and ends the script. The token
# goes through a file, because everybody can see the arguments of a program.
call() {
    # shellcheck disable=SC2086 # pinned is no word or three
    status=$(curl $pinned --silent --show-error --retry 5 --retry-connrefused --max-time 120 \
        --header "@$folder/token" --output "$folder/reply" --write-out '%{http_code}' "$@")
    case $status in
    2??) cat "$folder/reply" ;;
    *)
        echo "join.sh: $status $(cat "$folder/reply")" >&2
        exit 1
        ;;
    esac
}

# use TOKEN: for the calls that follow. On loopback none is needed to join.
use() {
    printf '%s' "${1:+Authorization: Bearer $1}" >"$folder/token"
}

# field NAME JSON: the text or number of that name. Good for flat replies like these; whoever has jq
# uses jq.
field() {
    printf '%s' "$2" | sed -n 's/.*"'"$1"'" *: *"\{0,1\}\([^",}]*\).*/\1/p'
}

# --- join -----------------------------------------------------------------------------------------

use "$token"
reply=$(call --request PUT --header 'Content-Type: application/json' \
    --data '{"attributes": {"client": "curl"}}' "$run/clients/$name")
use "$(field token "$reply")"
echo "joined as $name"

# --- ask for a task, as often as it takes ---------------------------------------------------------

while :; do
    task=$(call "$run/task?wait=30")
    case $(field kind "$task") in
    train) break ;;
    wait) sleep "$(field after_s "$task")" ;;
    stop)
        echo "the run has ended: $(field reason "$task")"
        exit 0
        ;;
    *)
        call --header 'Content-Type: application/json' --data \
            "{\"task\": \"$(field task "$task")\", \"reason\": \"curl only trains\"}" \
            "$run/task/decline"
        ;;
    esac
done
id=$(field task "$task")
version=$(field version "$task")
echo "task $id: train from version $version"

# --- fetch the model, and make an update of its head and constant values --------------------------

call "$run/versions/$version" >"$folder/model"
# A safetensors file begins with the length of its head: 8 bytes, the lowest first.
head_bytes=0
factor=1
for byte in $(od -A n -t u1 -N 4 "$folder/model"); do
    head_bytes=$((head_bytes + byte * factor))
    factor=$((factor * 256))
done
head_bytes=$((8 + head_bytes))
data_bytes=$(($(wc -c <"$folder/model") - head_bytes))
# 0.001 as F32 is the bytes 6f 12 83 3a, doubled until there are enough of them.
printf '\157\022\203\072' >"$folder/values"
while [ $(($(wc -c <"$folder/values"))) -lt "$data_bytes" ]; do
    cat "$folder/values" "$folder/values" >"$folder/twice"
    mv "$folder/twice" "$folder/values"
done
{
    head -c "$head_bytes" "$folder/model"
    head -c "$data_bytes" "$folder/values"
} >"$folder/update"

# --- send it: the same id with the same bytes may be sent again, and is counted once --------------

receipt=$(call --request PUT --header 'Content-Type: application/safetensors' \
    --header "Tributary-Base-Version: $version" --header 'Tributary-Examples: 1' \
    --data-binary "@$folder/update" "$run/updates/$name.$id")
echo "update $name.$id, $data_bytes bytes: $(field fate "$receipt")"

# --- wait for the version that has counted it -----------------------------------------------------

while [ "$(field fate "$receipt")" = spooled ]; do
    sleep 1
    receipt=$(call "$run/updates/$name.$id")
done
if [ "$(field fate "$receipt")" != counted ]; then
    echo "dropped: $(field reason "$receipt")"
    exit 0
fi
counted=$(field version "$receipt")
call "$run/versions/$counted" >"$folder/model"
echo "counted in version $counted, SHA-256 $(sha256sum <"$folder/model" | cut -d ' ' -f 1)"
