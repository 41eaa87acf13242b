# Messages in, messages out, and what could not be delivered.

resource "google_pubsub_topic" "work" {
  for_each = local.topics

  name         = "${var.name_prefix}-${each.key}"
  kms_key_name = var.kms_key_name
  labels       = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [var.message_regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.services]
}

resource "google_pubsub_topic" "completions" {
  name         = "${var.name_prefix}-completions"
  kms_key_name = var.kms_key_name
  labels       = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [var.message_regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.services]
}

resource "google_pubsub_topic" "dead_letters" {
  name         = "${var.name_prefix}-dead-letters"
  kms_key_name = var.kms_key_name
  labels       = var.labels

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [var.message_regions]
    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.services]
}

# ------------------------------------------------------------------------------------------------ subscriptions
#
# None has an ordering key: it would hold every message of an org until the one before is acknowledged, and the program
# takes what waits for an org in one run. None expires: a month of silence is no reason to lose the next message.

resource "google_pubsub_subscription" "push" {
  for_each = local.pushed

  name                       = "${var.name_prefix}-${each.key}-push"
  topic                      = google_pubsub_topic.work[each.key].id
  labels                     = var.labels
  ack_deadline_seconds       = local.ack_deadline_seconds
  message_retention_duration = "${var.subscription_days * local.day_seconds}s"
  enable_message_ordering    = false

  push_config {
    push_endpoint = var.push_endpoint

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push_audience
    }

    # Without the metadata an unwrapped message has no id, and is rejected.
    dynamic "no_wrapper" {
      for_each = var.unwrapped_pushes ? [true] : []
      content {
        write_metadata = no_wrapper.value
      }
    }
  }

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "${local.backoff_seconds.first}s"
    maximum_backoff = "${local.backoff_seconds.longest}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = local.delivery_attempts_max
  }

  depends_on = [google_pubsub_topic_iam_member.dead_letter_writer, google_service_account_iam_member.push_tokens]
}

resource "google_pubsub_subscription" "pull" {
  for_each = local.pulled

  name                       = "${var.name_prefix}-${each.key}-pull"
  topic                      = google_pubsub_topic.work[each.key].id
  labels                     = var.labels
  ack_deadline_seconds       = local.ack_deadline_seconds
  message_retention_duration = "${var.subscription_days * local.day_seconds}s"
  enable_message_ordering    = false

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "${local.backoff_seconds.first}s"
    maximum_backoff = "${local.backoff_seconds.longest}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = local.delivery_attempts_max
  }

  depends_on = [google_pubsub_topic_iam_member.dead_letter_writer]
}

# A topic without a subscription forgets at once, so each consumer gets one before it is there itself.
resource "google_pubsub_subscription" "consumer" {
  for_each = var.completion_consumers

  name                       = "${var.name_prefix}-completions-${each.key}"
  topic                      = google_pubsub_topic.completions.id
  labels                     = var.labels
  ack_deadline_seconds       = local.ack_deadline_seconds
  message_retention_duration = "${var.subscription_days * local.day_seconds}s"
  enable_message_ordering    = false

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "${local.backoff_seconds.first}s"
    maximum_backoff = "${local.backoff_seconds.longest}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = local.delivery_attempts_max
  }

  depends_on = [google_pubsub_topic_iam_member.dead_letter_writer]
}

# The end of the line, for people and `emailsched dead-letters`.
resource "google_pubsub_subscription" "dead_letters" {
  name                       = "${var.name_prefix}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  labels                     = var.labels
  ack_deadline_seconds       = local.ack_deadline_seconds
  message_retention_duration = "${var.dead_letter_days * local.day_seconds}s"
  enable_message_ordering    = false

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "${local.backoff_seconds.first}s"
    maximum_backoff = "${local.backoff_seconds.longest}s"
  }
}
