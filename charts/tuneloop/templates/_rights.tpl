{{/* The operator's rights: RBAC.md gives the reason of each, and a test compares the two. */}}

{{/* In each watched namespace. */}}
{{- define "tuneloop.rights.watched" -}}
- apiGroups: [tuneloop.dev]
  resources: [finetunejobs]
  verbs: [get, list, watch, delete]
- apiGroups: [tuneloop.dev]
  resources: [modeldeployments]
  verbs: [get, list, watch]
- apiGroups: [tuneloop.dev]
  resources: [finetunejobs/status, modeldeployments/status]
  verbs: [patch]
- apiGroups: [tuneloop.dev]
  resources: [finetunejobs/finalizers, modeldeployments/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list, create]
{{- end }}

{{/* In the release namespace; RBAC cannot limit `create` to a name. */}}
{{- define "tuneloop.rights.release" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ .Values.leaseName | quote }}]
  verbs: [get, update]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [create]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  resourceNames: [{{ .Values.progress.service | quote }}]
  verbs: [patch]
{{- end }}

{{/* In the whole cluster, whatever is watched. */}}
{{- define "tuneloop.rights.cluster" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
