{{/* Names, labels and addresses that several templates share. */}}

{{- define "tuneloop.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Name of the operator's objects: at most 40 characters, so that suffixes fit into 63. */}}
{{- define "tuneloop.fullname" -}}
{{- $name := include "tuneloop.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* Name of objects that belong to no namespace: two releases of the same name must not share them. */}}
{{- define "tuneloop.clusterName" -}}
{{ .Release.Namespace }}:{{ include "tuneloop.fullname" . }}
{{- end }}

{{- define "tuneloop.selector" -}}
app.kubernetes.io/name: {{ include "tuneloop.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "tuneloop.labels" -}}
{{ include "tuneloop.selector" . }}
app.kubernetes.io/part-of: tuneloop
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- end }}

{{- define "tuneloop.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "tuneloop.fullname" . }}
{{- else -}}
{{ fail "serviceAccount.name: must name an account, because serviceAccount.create is false" }}
{{- end -}}
{{- end }}

{{/* Call with (list . IMAGE). */}}
{{- define "tuneloop.image" -}}
{{- $chart := (index . 0).Chart -}}
{{- $image := index . 1 -}}
{{ $image.repository }}:{{ default $chart.AppVersion $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "tuneloop.progressHost" -}}
{{ .Values.progress.service }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "tuneloop.tlsSecret" -}}
{{- if eq .Values.progress.tls.source "existingSecret" -}}
{{ .Values.progress.tls.existingSecret }}
{{- else -}}
{{ include "tuneloop.fullname" . }}-progress-tls
{{- end -}}
{{- end }}

{{/* JSON list of the namespaces that are watched; empty in scope cluster, where all are. */}}
{{- define "tuneloop.watched" -}}
{{- if eq .Values.rbac.scope "cluster" -}}
[]
{{- else -}}
{{ default (list .Release.Namespace) .Values.watchNamespaces | toJson }}
{{- end -}}
{{- end }}
