output "bucket" {
  description = "Bucket of the org databases."
  value       = google_storage_bucket.orgs.name
}

output "topics" {
  description = "Topics by what they are for."
  value = merge(
    { for key, topic in google_pubsub_topic.work : key => topic.name },
    { completions = google_pubsub_topic.completions.name, dead_letters = google_pubsub_topic.dead_letters.name },
  )
}

output "subscriptions" {
  description = "Subscriptions by what they are for."
  value       = merge(local.source_subscriptions, { dead_letters = google_pubsub_subscription.dead_letters.name })
}

output "service_account" {
  description = "The program's identity; make its key with gcloud, so that it is in no state file."
  value       = google_service_account.scheduler.email
}

output "settings" {
  description = "Environment of the program, but for GCS_KEYFILE_JSON."
  value = merge(
    {
      GCS_BUCKET_NAME          = google_storage_bucket.orgs.name
      PUBSUB_PROJECT           = var.project_id
      COMPLETION_TOPIC         = google_pubsub_topic.completions.name
      REQUEST_TOPIC            = google_pubsub_topic.work["requests"].name
      PULL_SUBSCRIPTIONS       = join(",", [for subscription in google_pubsub_subscription.pull : subscription.name])
      DEAD_LETTER_SUBSCRIPTION = google_pubsub_subscription.dead_letters.name
    },
    { for name, value in {
      OIDC_AUDIENCE              = local.push_audience
      OIDC_SERVICE_ACCOUNT_EMAIL = google_service_account.push.email
    } : name => value if var.push_endpoint != null },
  )
}
