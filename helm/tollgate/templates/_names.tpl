{{/* Names and labels that every object shares. A name never exceeds the 63 characters that a label may have. */}}

{{- define "tollgate.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $name := printf "%s-%s" .Release.Name $chart -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains $chart .Release.Name -}}
{{- $name = .Release.Name -}}
{{- end -}}
{{- $name = $name | trunc 63 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "`%s` cannot be the name of a Service: set `fullnameOverride` to small letters, digits and `-`, a letter first" $name) -}}
{{- end -}}
{{- $name -}}
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

{{/* The ConfigMap with the policies: one that is there, or ours. */}}
{{- define "tollgate.policies" -}}
{{- if and .Values.policies .Values.existingConfigMap -}}
{{- fail "`policies` and `existingConfigMap` are both set: keep the one that holds the policies" -}}
{{- else if .Values.existingConfigMap -}}
{{- .Values.existingConfigMap -}}
{{- else -}}
{{- printf "%s-policies" (include "tollgate.fullname" . | trunc 54 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Pods with a volume of their own each are a StatefulSet: the old one ends before the new one takes its volume. */}}
{{- define "tollgate.kind" -}}
{{- if .Values.persistence.enabled -}}
StatefulSet
{{- else -}}
Deployment
{{- end -}}
{{- end -}}

{{/* Helm reads numbers as floats, which it would write as 1e+07. */}}
{{- define "tollgate.maxCounters" -}}
{{- if kindIs "string" .Values.maxCounters -}}
{{- .Values.maxCounters -}}
{{- else -}}
{{- int64 .Values.maxCounters -}}
{{- end -}}
{{- end -}}

{{/* Refuses what Kubernetes would take and what shows only later, in a pod that does not start or that is killed. */}}
{{- define "tollgate.checks" -}}
{{- range .Values.extraArgs -}}
{{- if regexMatch "^--(http|store|data-dir|max-counters|drain-delay)(=.*)?$" . -}}
{{- fail (printf "`extraArgs` has `%s`, which the chart sets itself: use `bindAddress`, `store`, `persistence`, `maxCounters` or `drainDelaySeconds`" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "TOLLGATE_DRAIN_DELAY" -}}
{{- fail "`extraEnv` has `TOLLGATE_DRAIN_DELAY`, which the chart sets itself: use `drainDelaySeconds`" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.persistence.enabled (ne .Values.store "durable") -}}
{{- fail (printf "`persistence.enabled` needs `store: durable`: with `%s` nothing is written" .Values.store) -}}
{{- end -}}
{{- if .Values.persistence.existingClaim -}}
{{- if not .Values.persistence.enabled -}}
{{- fail "`persistence.existingClaim` needs `persistence.enabled: true`" -}}
{{- else if gt (int .Values.replicas) 1 -}}
{{- fail "`persistence.existingClaim` is one volume, which one pod can use: set `replicas: 1`, or leave it out, and every pod gets a claim of its own" -}}
{{- end -}}
{{- end -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (add (int .Values.drainDelaySeconds) 3 | int) -}}
{{- fail "`terminationGracePeriodSeconds` must be at least 3 more than `drainDelaySeconds`, or pods are killed before they have drained" -}}
{{- end -}}
{{- end -}}
