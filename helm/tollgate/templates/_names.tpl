{{/* Names and labels that every object shares. A name never exceeds the 63 characters that a label may have. */}}

{{- define "tollgate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tollgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "tollgate.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "tollgate.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "tollgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap with the policies. Without any policy tollgate would admit everything, so that is refused here. */}}
{{- define "tollgate.policies" -}}
{{- if and .Values.policies .Values.existingConfigMap -}}
{{- fail "`policies` and `existingConfigMap` are both set: keep the one that holds the policies" -}}
{{- else if .Values.existingConfigMap -}}
{{- .Values.existingConfigMap -}}
{{- else if .Values.policies -}}
{{- printf "%s-policies" (include "tollgate.fullname" . | trunc 54 | trimSuffix "-") -}}
{{- else -}}
{{- fail "no policies: set `policies` (for example --set-file 'policies.quickstart\\.yaml=policies/quickstart.yaml') or `existingConfigMap`" -}}
{{- end -}}
{{- end -}}
