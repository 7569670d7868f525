#!/bin/sh
# Legt die Geheimnisse für compose.yaml an, je eine Datei; was es schon gibt, bleibt.
# Makes the secrets of compose.yaml, a file each; what is there already stays. As root: each file is for its container's account.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() {
    # keep NAME OWNER: write standard input to secrets/NAME, unless it is there.
    if [ ! -e "secrets/$1" ]; then
        cat > "secrets/$1.new"
        chown "$2" "secrets/$1.new"
        mv "secrets/$1.new" "secrets/$1"
    fi
}
# Containers reach their own files by bind mounts; the folder itself is for root.
random | keep database_password 999:999
password=$(cat secrets/database_password)
keep pg_service.conf 10001:10001 <<END
[hub]
host=database
port=5432
dbname=hub
user=hub
password=$password
END
random | keep portal_database_password 10001:10001
keep portal_database_role 999:999 < secrets/portal_database_password
# To be filled with what `hub clients add` says; empty, the portal does not begin.
keep portal_client_secret 10001:10001 < /dev/null
random | keep grafana_password 472:0
random | keep bucket_key_id 10001:10001
random | keep bucket_secret 10001:10001
keep bucket_accounts 0:0 <<END
{"identities": [{"name": "hub", "credentials": [{"accessKey": "$(cat secrets/bucket_key_id)", "secretKey": "$(cat secrets/bucket_secret)"}],
 "actions": ["Read:rathaus-hub", "Write:rathaus-hub", "List:rathaus-hub"]}]}
END
ls -l secrets
