{{/* A role and its binding to the operator's account.
Call with (dict "root" . "namespace" NAMESPACE-or-empty "name" NAME "rights" TEMPLATE); without a namespace they are cluster-wide. */}}
{{- define "tuneloop.roleAndBinding" -}}
{{- $prefix := .namespace | empty | ternary "Cluster" "" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}Role
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels: {{- include "tuneloop.labels" .root | nindent 4 }}
rules: {{- include .rights .root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}RoleBinding
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels: {{- include "tuneloop.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $prefix }}Role
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "tuneloop.serviceAccount" .root | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end }}
