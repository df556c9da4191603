{{/* Parts of the admission policies. RBAC.md says what they are for; the expressions are CEL. */}}

{{/* "true" where the policies are made, empty where not. */}}
{{- define "tuneloop.admission.isMade" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1" -}}
{{- if or (eq .Values.admissionPolicy.create "always") (and $served (eq .Values.admissionPolicy.create "auto")) -}}
{{- range include "tuneloop.watched" . | fromJsonArray -}}
{{- if has . $.Values.admissionPolicy.neverIn -}}
{{- fail (printf "watchNamespaces: %s is watched, and admissionPolicy.neverIn names it: take it out of one of the two" .) -}}
{{- end -}}
{{- end -}}
true
{{- end -}}
{{- end }}

{{/* Names of policies have no colon; a namespace has no dot, so that two releases never share a name. */}}
{{- define "tuneloop.admission.name" -}}
{{ .Release.Namespace }}.{{ include "tuneloop.fullname" . }}
{{- end }}

{{/* JSON list of the namespaces that are refused although the scope is cluster-wide. */}}
{{- define "tuneloop.admission.neverIn" -}}
{{- $never := .Values.admissionPolicy.neverIn -}}
{{- if eq .Values.rbac.scope "cluster" -}}
{{- $never = append $never .Release.Namespace -}}
{{- end -}}
{{ $never | uniq | toJson }}
{{- end }}

{{/* Whether the operator may write in the namespace of a request. */}}
{{- define "tuneloop.admission.isWatched" -}}
!(request.namespace in {{ include "tuneloop.admission.neverIn" . }})
{{- if ne .Values.rbac.scope "cluster" }} && request.namespace in {{ include "tuneloop.watched" . }}{{ end }}
{{- range $label, $value := .Values.admissionPolicy.namespaceLabels }} && namespaceObject.metadata.?labels[?{{ toJson $label }}].orValue("") == {{ toJson $value }}{{ end }}
{{- end }}

{{/* The head of a policy, up to its first condition, which keeps all accounts but the operator's out of it.
Call with (dict "root" . "name" NAME "rules" RULES): RULES is a list of resourceRules. */}}
{{- define "tuneloop.admission.head" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ printf "%s.%s" (include "tuneloop.admission.name" .root) .name | quote }}
  labels: {{- include "tuneloop.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: {{- toYaml .rules | nindent 6 }}
  matchConditions:
    - name: by-the-account-of-the-operator
      expression: {{ printf "request.userInfo.username == 'system:serviceaccount:%s:%s'" .root.Release.Namespace (include "tuneloop.serviceAccount" .root) | quote }}
{{- end }}

{{/* The binding of a policy. Call with (dict "root" . "name" NAME). */}}
{{- define "tuneloop.admission.binding" -}}
{{- $name := printf "%s.%s" (include "tuneloop.admission.name" .root) .name -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name | quote }}
  labels: {{- include "tuneloop.labels" .root | nindent 4 }}
spec:
  policyName: {{ $name | quote }}
  validationActions: [Deny]
{{- end }}

{{/* The owners of ours that control an object (`object` or `oldObject`): none or one. */}}
{{- define "tuneloop.admission.owners" -}}
{{ . }}.metadata.?ownerReferences.orValue([]).filter(owner, owner.?controller.orValue(false)
        && owner.apiVersion.startsWith('tuneloop.dev/') && owner.kind in ['FineTuneJob', 'ModelDeployment'])
{{- end }}
