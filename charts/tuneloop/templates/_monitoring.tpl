{{/* Whether objects of Prometheus' operator are made: "true" or nothing. Takes the root and `create`. */}}

{{- define "tuneloop.isMonitored" -}}
{{- $served := .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}
{{- if or (eq .create "always") (and $served (eq .create "auto")) }}true{{ end }}
{{- end }}
