# What an installation decides. Everything else is in locals.tf, with its reason.

variable "project_id" {
  description = "Google Cloud project that all of this belongs to."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id, such as acme-mail-1234; not its name, not its number."
  }
}

variable "name_prefix" {
  description = "Beginning of every name but the bucket's. A second environment in the same project has another one."
  type        = string
  default     = "email-scheduler"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.name_prefix))
    error_message = "name_prefix has 4 to 20 small letters, digits and hyphens: service accounts allow 30 in all."
  }
}

variable "labels" {
  description = "Labels of everything that can have labels."
  type        = map(string)
  default     = { app = "emailsched" }
}

# ------------------------------------------------------------------------------------------------ the bucket

variable "bucket_name" {
  description = "Bucket of the org databases; names are taken world-wide. GCS_BUCKET_NAME of the program."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{1,46}[a-z0-9]$", var.bucket_name)) && !startswith(var.bucket_name, "goog")
    error_message = "bucket_name has 3 to 48 small letters, digits, hyphens and underscores; the log bucket's is longer."
  }
}

variable "location" {
  description = "Where the bucket is. Beside the machines: whole databases travel. Cannot be changed later."
  type        = string
  default     = "US-EAST4"
}

variable "region" {
  description = "Region of the Cloud Scheduler jobs."
  type        = string
  default     = "us-east4"
}

variable "noncurrent_days" {
  description = "Days for which a replaced version of a database can be restored; also how long an erased person stays in them."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 7 && var.noncurrent_days <= 365
    error_message = "noncurrent_days is 7 to 365: less than a week is found out too late, and every version costs its full size."
  }
}

variable "noncurrent_versions_kept" {
  description = "Replaced versions of a database that are kept however old they are, so that a quiet org has a way back too."
  type        = number
  default     = 3

  validation {
    condition     = var.noncurrent_versions_kept >= 1 && var.noncurrent_versions_kept <= 100
    error_message = "noncurrent_versions_kept is 1 to 100."
  }
}

variable "backup_days" {
  description = "Days after which copies made by `emailsched backup` are deleted. They hold people's data, so there is an end."
  type        = number
  default     = 400

  validation {
    condition     = var.backup_days >= var.noncurrent_days && var.backup_days <= 3650
    error_message = "backup_days is noncurrent_days to 3650: a backup that ends before the versions do is of no use."
  }
}

variable "soft_delete_days" {
  description = "Days for which what was deleted, by whomever, can be brought back by an administrator. 0: not at all."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "soft_delete_days is 0, or 7 to 90: Cloud Storage has nothing in between."
  }
}

variable "access_log_days" {
  description = "Days for which the access log of the bucket is kept."
  type        = number
  default     = 90

  validation {
    condition     = var.access_log_days >= 7 && var.access_log_days <= 3650
    error_message = "access_log_days is 7 to 3650."
  }
}

variable "kms_key_name" {
  description = "Key of your own for bucket and topics, projects/.../cryptoKeys/...; null: keys that Google manages. Same location as the bucket."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_name == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_name))
    error_message = "kms_key_name is projects/P/locations/L/keyRings/R/cryptoKeys/K, or null."
  }
}

# ------------------------------------------------------------------------------------------------ messages

variable "push_endpoint" {
  description = "Where messages are pushed, https://<app>.fly.dev/; null: nothing is pushed, workers pull everything."
  type        = string
  default     = null

  validation {
    condition     = var.push_endpoint == null || can(regex("^https://[A-Za-z0-9.-]+(/.*)?$", var.push_endpoint))
    error_message = "push_endpoint is an https URL, or null: a token must not travel in the clear."
  }
}

variable "push_audience" {
  description = "Audience of the push tokens, OIDC_AUDIENCE of the program; null: the endpoint as it is written."
  type        = string
  default     = null
}

variable "unwrapped_pushes" {
  description = "Push messages as they are instead of inside JSON. The program understands both."
  type        = bool
  default     = false
}

variable "message_regions" {
  description = "Regions in which messages may be stored, such as [\"us-east4\"]; empty: wherever the project allows."
  type        = list(string)
  default     = []
}

variable "subscription_days" {
  description = "Days for which a message that nobody takes is kept."
  type        = number
  default     = 7

  validation {
    condition     = var.subscription_days >= 1 && var.subscription_days <= 31
    error_message = "subscription_days is 1 to 31, as Pub/Sub has it."
  }
}

variable "dead_letter_days" {
  description = "Days for which a dead letter waits for an operator."
  type        = number
  default     = 28

  validation {
    condition     = var.dead_letter_days >= 1 && var.dead_letter_days <= 31
    error_message = "dead_letter_days is 1 to 31, as Pub/Sub has it."
  }

  validation {
    # Ids of processed events are remembered for 75 days. A dead letter that is replayed on its last day may go the same
    # way a second time, and must still be recognised as a duplicate at its end.
    condition     = 2 * (var.subscription_days + var.dead_letter_days) < 75
    error_message = "Twice subscription_days + dead_letter_days stays below 75 days, for which event ids are remembered."
  }
}

variable "event_publishers" {
  description = "Who may send contact, campaign and mail events: upstream systems and the sender, as IAM members."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.event_publishers : can(regex("^(serviceAccount|group|user):.+@.+$", member))])
    error_message = "event_publishers are serviceAccount:..., group:... or user:...; never allUsers or allAuthenticatedUsers."
  }
}

variable "run_requesters" {
  description = "Who may ask for runs, beside Cloud Scheduler and the program itself, as IAM members."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.run_requesters : can(regex("^(serviceAccount|group|user):.+@.+$", member))])
    error_message = "run_requesters are serviceAccount:..., group:... or user:...; never allUsers or allAuthenticatedUsers."
  }
}

variable "completion_consumers" {
  description = "Subscriptions to what the program tells: name, and who reads it, as an IAM member."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, member in var.completion_consumers : can(regex("^[a-z][a-z0-9-]{1,60}$", name)) && can(regex("^(serviceAccount|group|user):.+@.+$", member))])
    error_message = "completion_consumers is name = member, with a name in small letters and serviceAccount:..., group:... or user:...."
  }
}

# ------------------------------------------------------------------------------------------------ the clock

variable "fan_out" {
  description = "When one run request goes to every org of the bucket; null: never, each org has its own line below."
  type = object({
    schedule  = string
    time_zone = optional(string, "America/New_York")
    paused    = optional(bool, false)
  })
  default = { schedule = "5 2 * * *" }
}

variable "org_schedules" {
  description = "Orgs with a time of their own, by org id; bulk: by a worker, for runs that outlast a push."
  type = map(object({
    schedule  = string
    time_zone = optional(string, "America/New_York")
    bulk      = optional(bool, false)
    paused    = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for org, _ in var.org_schedules : can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", org))])
    error_message = "The keys of org_schedules are org ids: 1 to 64 of A-Z a-z 0-9 _ -, beginning with a letter or a digit."
  }
}

# ------------------------------------------------------------------------------------------------ alerts

variable "alert_emails" {
  description = "Who is told. Nobody is an installation that nobody watches, so there is no default."
  type        = list(string)
}

variable "notification_channels" {
  description = "Further channels, made elsewhere: projects/.../notificationChannels/... (a pager, a chat)."
  type        = list(string)
  default     = []
}

variable "alerts_from_metrics" {
  description = "Whether the program's metrics reach Managed Service for Prometheus; without that alerts.yaml belongs into your Prometheus."
  type        = bool
  default     = false
}

variable "alerts_from_logs" {
  description = "Whether the program's log reaches Cloud Logging: on Google's machines always, from Fly with a log shipper."
  type        = bool
  default     = false
}

variable "log_filter" {
  description = "What the program's records in Cloud Logging have in common."
  type        = string
  default     = "logName:\"emailsched\" OR resource.labels.service_name=\"emailsched\""
}

variable "log_resource_type" {
  description = "Resource type of those records: global from a log shipper, cloud_run_revision on Cloud Run."
  type        = string
  default     = "global"

  validation {
    condition     = contains(["global", "generic_node", "generic_task", "cloud_run_revision", "gce_instance", "k8s_container"], var.log_resource_type)
    error_message = "log_resource_type is one of global, generic_node, generic_task, cloud_run_revision, gce_instance, k8s_container."
  }
}
