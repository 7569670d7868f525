{{/* What all of the hub's pods have in common. */}}

{{- define "rathaus-hub.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "rathaus-hub.labels" -}}
app.kubernetes.io/name: rathaus-hub
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rathaus-hub.metadata" -}}
labels:
  {{- include "rathaus-hub.labels" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "rathaus-hub.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* Settings that every command needs. */}}
{{- define "rathaus-hub.settings" -}}
- {name: HUB_BASE_URL, value: {{ required "baseUrl: the address of the hub as senders call it" .Values.baseUrl | quote }}}
- {name: HUB_DATABASE_URL, value: "postgresql://?service=hub"}
- {name: PGSERVICEFILE, value: /run/secrets/rathaus-hub/pg_service.conf}
{{- if .Values.serviceMonitor.enabled }}
- {name: HUB_METRICS, value: "on"}
{{- end }}
{{- with .Values.bucket }}
{{- if .url }}
- {name: HUB_BLOBS, value: {{ .url | quote }}}
- {name: HUB_BLOBS_ENDPOINT, value: {{ required "bucket.endpoint: the address of the store" .endpoint | quote }}}
{{- with .region }}
- {name: HUB_BLOBS_REGION, value: {{ . | quote }}}
{{- end }}
- {name: HUB_BLOBS_KEY_ID_FILE, value: /run/secrets/rathaus-hub/{{ .keyIdKey }}}
- {name: HUB_BLOBS_SECRET_FILE, value: /run/secrets/rathaus-hub/{{ .secretKey }}}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* The policy "restricted", and nothing of the root file system can be written. */}}
{{- define "rathaus-hub.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /var/lib/rathaus-hub}
  - {name: secrets, mountPath: /run/secrets/rathaus-hub, readOnly: true}
  - {name: temporary, mountPath: /tmp}
{{- end }}

{{/* A pod's own part, around its containers. The data folder is made by the hub below the volume, for itself alone: a volume's root
     belongs to the group, and the hub refuses keys in a folder where others may write. */}}
{{- define "rathaus-hub.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 120
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: data
    persistentVolumeClaim:
      claimName: {{ .Values.persistence.existingClaim | default (include "rathaus-hub.name" .) }}
  - name: secrets
    secret:
      secretName: {{ required "existingSecret: a Secret with pg_service.conf" .Values.existingSecret }}
      defaultMode: 0440
  - name: temporary
    emptyDir: {medium: Memory, sizeLimit: 256Mi}
initContainers:
  # Brings the tables up to this version; pods of the version before go on working on them.
  - name: migrate
    {{- include "rathaus-hub.image" . | nindent 4 }}
    args: [migrate]
    env:
      {{- include "rathaus-hub.settings" . | nindent 6 }}
    resources:
      requests: {cpu: 100m, memory: 192Mi}
      limits: {memory: 512Mi}
    {{- include "rathaus-hub.confined" . | nindent 4 }}
{{- end }}
