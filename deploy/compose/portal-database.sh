#!/bin/sh
# Legt Konto und Datenbank des Bürgerportals an; das Image führt es einmal aus, mit leerem Datenordner. In einer Datenbank, die es
# schon gibt: docker compose exec database sh /docker-entrypoint-initdb.d/portal-database.sh
# Makes account and database of the citizens' portal: once, when the image finds its folder empty; else as above.
set -eu
psql --username "${POSTGRES_USER:-hub}" --dbname "${POSTGRES_DB:-hub}" --set ON_ERROR_STOP=1 \
    --set password="$(cat /run/secrets/portal_database_role)" <<'END'
CREATE ROLE portal LOGIN PASSWORD :'password';
CREATE DATABASE portal OWNER portal;
-- The portal knows the hub by its public doors alone.
REVOKE CONNECT ON DATABASE hub FROM PUBLIC;
END
