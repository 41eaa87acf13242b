# Who may do what. No role is given on the project, and none that can change rights.

locals {
  pubsub_agent  = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  storage_agent = "serviceAccount:${data.google_storage_project_service_account.storage.email_address}"

  # Everything that messages are taken from, by a name of ours.
  source_subscriptions = merge(
    { for key, subscription in google_pubsub_subscription.push : "push-${key}" => subscription.name },
    { for key, subscription in google_pubsub_subscription.pull : "pull-${key}" => subscription.name },
    { for key, subscription in google_pubsub_subscription.consumer : "consumer-${key}" => subscription.name },
  )
}

# ------------------------------------------------------------------------------------------------ the program

resource "google_service_account" "scheduler" {
  account_id   = "${var.name_prefix}-app"
  display_name = "emailsched: the program"
  description  = "Reads and writes org databases, publishes completions. Its key is GCS_KEYFILE_JSON."
}

resource "google_storage_bucket_iam_member" "objects" {
  bucket = google_storage_bucket.orgs.name
  role   = "roles/storage.objectAdmin" # create, read, replace and delete objects: leases, statuses and deltas are deleted
  member = google_service_account.scheduler.member
}

resource "google_storage_bucket_iam_member" "bucket_reader" {
  bucket = google_storage_bucket.orgs.name
  role   = "roles/storage.legacyBucketReader" # storage.buckets.get: whether the bucket keeps versions
  member = google_service_account.scheduler.member
}

resource "google_pubsub_topic_iam_member" "completions" {
  topic  = google_pubsub_topic.completions.name
  role   = "roles/pubsub.publisher"
  member = google_service_account.scheduler.member
}

# A fan-out asks for runs, and a dead letter is replayed to the topic that it came from.
resource "google_pubsub_topic_iam_member" "work" {
  for_each = local.topics

  topic  = google_pubsub_topic.work[each.key].name
  role   = "roles/pubsub.publisher"
  member = google_service_account.scheduler.member
}

resource "google_pubsub_subscription_iam_member" "worker" {
  for_each = local.pulled

  subscription = google_pubsub_subscription.pull[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.scheduler.member
}

resource "google_pubsub_subscription_iam_member" "dead_letter_reader" {
  subscription = google_pubsub_subscription.dead_letters.name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.scheduler.member
}

# `emailsched doctor` looks at how topics and subscriptions are set up; this reads no message.
resource "google_pubsub_topic_iam_member" "look" {
  for_each = merge(
    { for key, topic in google_pubsub_topic.work : key => topic.name },
    { completions = google_pubsub_topic.completions.name, dead_letters = google_pubsub_topic.dead_letters.name },
  )

  topic  = each.value
  role   = "roles/pubsub.viewer"
  member = google_service_account.scheduler.member
}

resource "google_pubsub_subscription_iam_member" "look" {
  for_each = merge(local.source_subscriptions, { dead_letters = google_pubsub_subscription.dead_letters.name })

  subscription = each.value
  role         = "roles/pubsub.viewer"
  member       = google_service_account.scheduler.member
}

# ------------------------------------------------------------------------------------------------ pushes

# An identity and nothing else: it has no role anywhere, and no key. The program checks that a push comes from it.
resource "google_service_account" "push" {
  account_id   = "${var.name_prefix}-push"
  display_name = "emailsched: who pushes"
  description  = "Named in the tokens of Pub/Sub's pushes: OIDC_SERVICE_ACCOUNT_EMAIL of the program."
}

resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}

# ------------------------------------------------------------------------------------------------ dead letters

# Without these two Pub/Sub drops nothing, forwards nothing, and says so only in a metric.
resource "google_pubsub_topic_iam_member" "dead_letter_writer" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letter_source" {
  for_each = local.source_subscriptions

  subscription = each.value
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# ------------------------------------------------------------------------------------------------ others

resource "google_pubsub_topic_iam_member" "event_publishers" {
  for_each = toset(var.event_publishers)

  topic  = google_pubsub_topic.work["changes"].name
  role   = "roles/pubsub.publisher"
  member = each.key
}

resource "google_pubsub_topic_iam_member" "run_requesters" {
  for_each = toset(var.run_requesters)

  topic  = google_pubsub_topic.work["requests"].name
  role   = "roles/pubsub.publisher"
  member = each.key
}

resource "google_pubsub_subscription_iam_member" "consumers" {
  for_each = var.completion_consumers

  subscription = google_pubsub_subscription.consumer[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = each.value
}

# A key of your own is used by Cloud Storage and Pub/Sub, not by the program.
resource "google_kms_crypto_key_iam_member" "services" {
  for_each = var.kms_key_name == null ? {} : { pubsub = local.pubsub_agent, storage = local.storage_agent }

  crypto_key_id = var.kms_key_name
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
