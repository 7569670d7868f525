"""Settings of a hub in operation: what is kept, how long and where, and how it tells of itself: metrics, logs, mail, traces."""

from __future__ import annotations

from dataclasses import dataclass

from hub.config.serving import DAY, MOST_PORT, Serving
from hub.files.settings import ValueForm, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Operating(Serving):
    """What follows :class:`Serving` in the order of the reference."""

    idempotency_seconds: int = setting(
        30 * DAY,
        "So lange wird ein Idempotency-Key erkannt.",
        "How long an idempotency key is remembered.",
        unit="s",
        least=0,
    )
    incomplete_seconds: int = setting(
        DAY,
        "Angekündigtes, das nicht eingereicht wurde, wird danach gelöscht.",
        "What was announced and never submitted is deleted after this.",
        unit="s",
        least=0,
    )
    upload_seconds: int = setting(
        7 * DAY,
        "So lange bleibt ein Upload, der in keinen Antrag kommt.",
        "How long an upload stays that goes into no application.",
        since="0.4.0",
        unit="s",
        least=60,
    )
    uploads_per_client: int = setting(
        1000,
        "So viele Uploads darf ein Client zugleich offen haben.",
        "How many uploads a client may have under way at once.",
        since="0.4.0",
        least=1,
    )
    upload_bytes_per_client: int = setting(
        50_000_000_000,
        "So viele Byte dürfen die offenen Uploads eines Clients zusammen haben.",
        "How many bytes the uploads that a client has under way may have together.",
        since="0.4.0",
        unit="byte",
        least=1,
    )
    finished_seconds: int = setting(
        7 * DAY,
        "Inhalte abgeschlossener Vorgänge werden danach gelöscht.",
        "Contents of finished cases are deleted after this.",
        unit="s",
        least=0,
    )
    uncollected_seconds: int = setting(
        14 * DAY,
        "Was so lange unbeantwortet im Postfach liegt, wird zurückgewiesen.",
        "What lies in a mailbox unanswered for so long is rejected.",
        unit="s",
        least=0,
    )
    case_seconds: int = setting(
        730 * DAY,
        "Die Ereignisse eines Vorgangs werden danach gelöscht.",
        "The events of a case are deleted after this.",
        unit="s",
        least=0,
    )
    kept_days: str = setting(
        "",
        "Leistungen, deren Inhalte nach ihrem Ende anders als nach finished_seconds gelöscht werden: URN=TAGE, durch "
        "Leerzeichen getrennt.",
        "Services whose contents are deleted at another time after their end than finished_seconds: URN=DAYS, separated by "
        "blanks.",
        since="0.3.0",
    )
    blobs: str = setting(
        "local",
        "Wo große Inhalte liegen: local (Datenordner) oder s3://EIMER/PRÄFIX.",
        "Where large contents lie: local (the data folder) or s3://BUCKET/PREFIX.",
    )
    blobs_endpoint: str = setting("", "Adresse des S3-Servers.", "Address of the S3-compatible server.")
    blobs_region: str = setting(
        "eu-central-1", "Region, für die der S3-Server signiert.", "Region that the S3-compatible server signs for."
    )
    blobs_key_id_file: str = setting(
        "", "Datei mit der Schlüssel-ID des Eimers.", "File with the key id for the bucket.", form=ValueForm.SECRET_FILE
    )
    blobs_secret_file: str = setting(
        "", "Datei mit dem Geheimnis des Eimers.", "File with the secret for the bucket.", form=ValueForm.SECRET_FILE
    )
    crash_at: str = setting(
        "",
        "Nur für Tests: benannter Punkt, an dem der Prozess sich selbst beendet.",
        "For tests only: named point at which the process kills itself.",
    )
    circuit_failures: int = setting(
        5,
        "Nach so vielen Fehlschlägen hintereinander pausiert ein Zustellpunkt.",
        "After so many failures in a row a destination gets a pause.",
        least=1,
    )
    circuit_first_seconds: int = setting(
        30,
        "Erste Pause eines Zustellpunkts; sie verdoppelt sich mit jedem Fehlschlag.",
        "The first pause of a destination; it doubles with every further failure.",
        unit="s",
        least=0,
    )
    circuit_longest_seconds: int = setting(
        3600, "Längste Pause eines Zustellpunkts.", "The longest pause of a destination.", unit="s", least=0
    )
    poison_lapses: int = setting(
        3,
        "Eine Zustellung, bei der so viele Versuche nie endeten, wird zur Seite gelegt.",
        "A delivery of which so many attempts never ended is set aside instead of attempted again.",
        least=0,
    )
    metrics: str = setting(
        "loopback",
        "Wer /metrics lesen darf: alle (on), dieser Rechner (loopback) oder niemand (off).",
        "Who may read /metrics: everybody (on), this machine alone (loopback), or nobody (off).",
        choices=("loopback", "off", "on"),
    )
    public_validation: str = setting(
        "auto",
        "Ob jeder unter /validate prüfen darf; auto: nur in development.",
        "Whether anybody may check messages at /validate; auto: in development only.",
        choices=("auto", "off", "on"),
    )
    work_metrics_host: str = setting(
        "127.0.0.1",
        "Adresse, an der hub work Messwerte und Zustand zeigt; wer die Messwerte lesen darf, sagt metrics.",
        "Address at which hub work shows metrics and health; who may read the metrics, metrics says.",
        since="0.3.0",
    )
    work_metrics_port: int = setting(
        0,
        "Port, an dem hub work Messwerte und Zustand zeigt; 0: keiner.",
        "Port at which hub work shows metrics and health; 0: none.",
        least=0,
        most=MOST_PORT,
    )
    log_format: str = setting(
        "text",
        "Protokollzeilen für Menschen (text) oder für eine Protokollablage (json).",
        "Log lines for people (text) or for a log store (json).",
        choices=("json", "text"),
    )
    log_level: str = setting(
        "warning",
        "Ab welchem Gewicht Protokollzeilen geschrieben werden.",
        "The least urgent log lines that are written.",
        choices=("info", "warning", "error"),
    )
    smtp_host: str = setting(
        "",
        "Mailserver für Hinweise an Behörden und Betrieb; leer: nur auf den Verwaltungsseiten.",
        "Mail server for notices to authorities and operators; empty: the admin pages alone show them.",
    )
    smtp_port: int = setting(587, "Port des Mailservers.", "Port of the mail server.", least=0, most=MOST_PORT)
    smtp_security: str = setting(
        "starttls",
        "starttls ist Pflicht; none nur für development und einen Mailserver auf diesem Rechner.",
        "starttls is required; none is for development and for a server on this machine.",
        choices=("none", "starttls"),
    )
    smtp_user: str = setting(
        "",
        "Wer der Hub am Mailserver ist; leer: keine Anmeldung.",
        "Who the hub is at the mail server; empty: no login.",
    )
    smtp_password_file: str = setting(
        "",
        "Datei mit dem Passwort am Mailserver.",
        "File with the password for the mail server.",
        form=ValueForm.SECRET_FILE,
    )
    smtp_ca_file: str = setting(
        "",
        "Zertifikate (PEM), zu denen das des Mailservers führen muss; leer: die des Systems.",
        "Certificates (PEM) that the mail server's must lead to; empty: those of the system.",
        form=ValueForm.PATH,
    )
    mail_sender: str = setting("", "Absenderadresse der Hinweise.", "Mail address that notices come from.")
    mail_operators: str = setting(
        "", "Mailadresse des Betriebs; leer: keine.", "Mail address of the hub's operators; empty: none."
    )
    timestamp_url: str = setting(
        "",
        "Zeitstempelstelle (RFC 3161), die Prüfpunkte stempelt (https); leer: keine. Braucht timestamp_roots_file.",
        "Time-stamping authority (RFC 3161) that stamps checkpoints (https); empty: none. Needs timestamp_roots_file.",
        since="0.4.0",
    )
    timestamp_roots_file: str = setting(
        "",
        "Datei mit den Wurzelzertifikaten der Zeitstempelstelle (PEM).",
        "File with the time-stamping authority's root certificates (PEM).",
        since="0.4.0",
        form=ValueForm.PATH,
    )
    timestamp_seconds: int = setting(
        600,
        "So oft wird höchstens gestempelt.",
        "How often is stamped at most.",
        since="0.4.0",
        unit="s",
        least=60,
    )
    otel_endpoint: str = setting(
        "",
        "Wohin Spuren gehen (OTLP über HTTP); leer: nirgends.",
        "Where traces go (OTLP over HTTP); empty: nowhere.",
    )
