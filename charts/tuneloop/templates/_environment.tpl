{{/* The variables of the proxies, for (list ROOT HOST), where HOST needs no proxy. Programs read names in capitals, in small letters, or both. */}}
{{- define "tuneloop.proxies" -}}
{{- $proxy := (index . 0).Values.proxy }}
{{- if or $proxy.http $proxy.https }}
{{- $none := list (index . 1) "localhost" "127.0.0.1" ".svc" ".cluster.local" $proxy.noProxy | compact | join "," }}
{{- range $name, $value := dict "HTTP_PROXY" $proxy.http "HTTPS_PROXY" $proxy.https "NO_PROXY" $none }}
{{- if $value }}
- {name: {{ $name }}, value: {{ $value | quote }}}
- {name: {{ lower $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The source of the volume with the trusted authorities; empty without authorities. */}}
{{- define "tuneloop.trustedCA" -}}
{{- with .Values.trustedCA }}
{{- if .configMap }}
configMap: {name: {{ .configMap | quote }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}
{{- else if .secret }}
secret: {secretName: {{ .secret | quote }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end }}

{{/* The operator's settings, as it reads them. What is empty is left out: the program has the default. */}}
{{- define "tuneloop.environment" -}}
- {name: TUNELOOP_POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: TUNELOOP_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: TUNELOOP_POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- name: TUNELOOP_NAMESPACES
  value: {{ include "tuneloop.watched" . | fromJsonArray | join "," | quote }}
- name: TUNELOOP_TRAINER_IMAGE
  value: {{ include "tuneloop.image" (list . .Values.trainer.image) | quote }}
- name: TUNELOOP_SERVER_IMAGE
  value: {{ include "tuneloop.image" (list . .Values.server.image) | quote }}
- name: TUNELOOP_ROUTER_IMAGE
  value: {{ include "tuneloop.image" (list . .Values.router.image) | quote }}
{{- with .Values.children.imagePullPolicy }}
- name: TUNELOOP_IMAGE_PULL_POLICY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.children.defaultClaim }}
- name: TUNELOOP_DEFAULT_CLAIM
  value: {{ . | quote }}
{{- end }}
{{- if not .Values.children.disruptionBudgets }}
- {name: TUNELOOP_DISRUPTION_BUDGETS, value: "false"}
{{- end }}
{{- if .Values.children.allow.hostNetwork }}
- {name: TUNELOOP_ALLOW_HOST_NETWORK, value: "true"}
{{- end }}
{{- with .Values.retraining.maxParallelRuns }}
- name: TUNELOOP_MAX_PARALLEL_RETRAININGS
  value: {{ . | int64 | quote }}
{{- end }}
{{- $defaults := dict }}
{{- range $name, $value := .Values.children.defaults }}
{{- if $value }}{{ $_ := set $defaults $name $value }}{{ end }}
{{- end }}
{{- $named := list }}
{{- range .Values.children.defaults.env }}{{ $named = append $named (upper .name) }}{{ end }}
{{- $env := list }}
{{- range include "tuneloop.proxies" (list . "") | fromYamlArray }}
{{- if not (has (upper .name) $named) }}{{ $env = append $env . }}{{ end }}
{{- end }}
{{- with concat $env .Values.children.defaults.env }}{{ $_ := set $defaults "env" . }}{{ end }}
{{- with .Values.trustedCA }}
{{- if or .configMap .secret }}
- name: TUNELOOP_TRUSTED_CA
  value: {{ (.configMap | empty | not | ternary (dict "configMap" .configMap "key" .key) (dict "secret" .secret "key" .key)) | toJson | quote }}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" }}
- {name: {{ . }}, value: /etc/tuneloop-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- include "tuneloop.proxies" (list . "$(KUBERNETES_SERVICE_HOST)") }}
{{- with $defaults }}
{{- /* the kubelet would take $(NAME) for a variable */}}
- name: TUNELOOP_POD_DEFAULTS
  value: {{ toJson . | replace "$(" "$$(" | quote }}
{{- end }}
{{- with .Values.children.networkPolicy.egress }}
{{- if .enabled }}
{{- $operator := dict "namespace" $.Release.Namespace "ports" (list (int64 $.Values.progress.port) (int64 $.Values.router.port)) }}
- name: TUNELOOP_EGRESS
  value: {{ prepend .to $operator | toJson | quote }}
{{- end }}
{{- end }}
- name: TUNELOOP_UID
  value: {{ kindIs "invalid" .Values.children.uid | ternary "platform" (.Values.children.uid | int64 | toString) | quote }}
- name: TUNELOOP_GID
  value: {{ kindIs "invalid" .Values.children.gid | ternary "platform" (.Values.children.gid | int64 | toString) | quote }}
- name: TUNELOOP_START_DEADLINE_SECONDS
  value: {{ .Values.children.startDeadlineSeconds | int64 | quote }}
- name: TUNELOOP_PROGRESS_URL
  value: {{ printf "https://%s:%d" (include "tuneloop.progressHost" .) (int64 .Values.progress.port) | quote }}
- name: TUNELOOP_PROGRESS_SERVICE
  value: {{ .Values.progress.service | quote }}
- name: TUNELOOP_PROGRESS_PORT
  value: {{ .Values.progress.port | int64 | quote }}
- name: TUNELOOP_ROUTER_URL
  value: {{ printf "https://%s:%d" (include "tuneloop.progressHost" .) (int64 .Values.router.port) | quote }}
- name: TUNELOOP_ROUTER_PORT
  value: {{ .Values.router.port | int64 | quote }}
- name: TUNELOOP_PROGRESS_INTERVAL_SECONDS
  value: {{ .Values.progress.intervalSeconds | quote }}
- name: TUNELOOP_PROGRESS_WRITES_PER_SECOND
  value: {{ .Values.progress.writesPerSecond | quote }}
- name: TUNELOOP_PROGRESS_AUTHENTICATION
  value: {{ .Values.progress.authentication | quote }}
{{- with .Values.progress.jwks.configMap }}
- name: TUNELOOP_JWKS_FILE
  value: /etc/tuneloop/jwks/jwks.json
- name: TUNELOOP_TOKEN_ISSUER
  value: {{ $.Values.progress.jwks.issuer | quote }}
{{- end }}
{{- with .Values.prometheus }}
{{- if .url }}
- name: TUNELOOP_PROMETHEUS_URL
  value: {{ .url | quote }}
{{- if .tokenSecret }}
- {name: TUNELOOP_PROMETHEUS_TOKEN_FILE, value: /etc/tuneloop/prometheus-token/token}
{{- end }}
{{- if .caConfigMap }}
- {name: TUNELOOP_PROMETHEUS_CA_FILE, value: /etc/tuneloop/prometheus-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
- name: TUNELOOP_TLS_DIRECTORY
  value: /etc/tuneloop/tls
- name: TUNELOOP_HEALTH_PORT
  value: {{ .Values.ports.health | int64 | quote }}
- name: TUNELOOP_METRICS_PORT
  value: {{ .Values.ports.metrics | int64 | quote }}
- name: TUNELOOP_LEASE_NAME
  value: {{ .Values.leaseName | quote }}
- name: TUNELOOP_NAMESPACE_LEASE_SECONDS
  value: {{ .Values.namespaceLeaseSeconds | int64 | quote }}
- name: TUNELOOP_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: TUNELOOP_WORKERS
  value: {{ .Values.workers | int64 | quote }}
{{- end }}

{{/* Port of the address of Prometheus. */}}
{{- define "tuneloop.prometheusPort" -}}
{{- $url := .Values.prometheus.url }}
{{- regexFind ":[0-9]+$" (urlParse $url).host | trimPrefix ":" | default (hasPrefix "https" $url | ternary "443" "80") }}
{{- end }}
