#!/bin/sh
# Make what must be secret, once: in deploy/secrets/ (git-ignored; or SECRETS). A file that is there is kept.
#   deploy/secrets.sh [NAME …]     names that the self-signed certificate is for [localhost api.localhost]
# Needs openssl and the salesforecast command (SALESFORECAST, else that on the PATH).
set -eu
[ $# -gt 0 ] || set -- localhost api.localhost
SECRETS=${SECRETS:-$(dirname "$0")/secrets}
mkdir -p "$SECRETS"
cd "$SECRETS"
chmod 700 .   # the folder guards the files, which the containers' users must be able to read

random() { openssl rand -hex 24; }
make() { [ -e "$1" ] || { "$2" > "$1.new" && mv "$1.new" "$1"; }; }

make signing_key random
make postgres_password random
make grafana_password random
make dashboard_token random
make alert_webhook true   # empty: write the address that takes Slack's messages into it

# a key per caller; the API gets the hashes only
if [ ! -e api_keys ]; then
    : > api_keys.new
    for caller in dashboard:predict prometheus:predict scheduler:predict+admin; do
        "${SALESFORECAST:-salesforecast}" key "${caller%:*}" --scopes "${caller#*:}" 2> /dev/null > pair
        sed -n 1p pair | tr -d '\n' > "${caller%:*}_key"
        sed -n 2p pair >> api_keys.new
    done
    rm pair
    mv api_keys.new api_keys
fi

# a certificate to begin with: put your own in its place, under the same names
if [ ! -e tls.crt ]; then
    names=$(for name; do
        case $name in *[!0-9.]*) printf 'DNS:%s,' "$name" ;; *) printf 'IP:%s,' "$name" ;; esac
    done)
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=$1" -addext "subjectAltName=${names%,}" \
        -keyout tls.key -out tls.crt 2> /dev/null
fi
chmod 444 ./*
