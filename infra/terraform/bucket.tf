# The truth: org-data/<org>.db, in versions. The program writes nothing without the generation that it read.

data "google_storage_project_service_account" "storage" {}

resource "google_storage_bucket" "orgs" {
  name          = var.bucket_name
  location      = var.location
  storage_class = "STANDARD"
  labels        = var.labels

  # Without versions nothing can be restored; the program refuses to start on a bucket that keeps none.
  versioning {
    enabled = true
  }

  uniform_bucket_level_access = true # rights are on the bucket, and no object has any of its own
  public_access_prevention    = "enforced"
  force_destroy               = false

  # A stolen key can delete versions, but not what is kept here: only an administrator, and only time, ends it.
  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * local.day_seconds
  }

  # Without a key of yours Google encrypts with its own: always on, and nothing to set.
  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]
    content {
      default_kms_key_name = encryption.value
    }
  }

  # Who wrote, read and deleted, and from where: what `fence_lost` and a suspicion send you to.
  logging {
    log_bucket        = google_storage_bucket.access_logs.name
    log_object_prefix = "access"
  }

  dynamic "lifecycle_rule" {
    for_each = local.lifecycle_rules
    content {
      action {
        type = "Delete"
      }
      condition {
        with_state                 = lifecycle_rule.value.with_state
        matches_prefix             = lifecycle_rule.value.prefixes
        age                        = try(lifecycle_rule.value.age, null)
        days_since_noncurrent_time = try(lifecycle_rule.value.days_since_noncurrent, null)
        num_newer_versions         = try(lifecycle_rule.value.newer_versions, null)
      }
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_kms_crypto_key_iam_member.services]
}

resource "google_storage_bucket" "access_logs" {
  name          = "${var.bucket_name}-access-logs"
  location      = var.location
  storage_class = "STANDARD"
  labels        = var.labels

  # The log is only added to, and goes by age; versions of it would be kept after their time.
  versioning {
    enabled = false
  }

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = var.access_log_days
    }
  }
}

# Cloud Storage itself writes the log, as this group; the program has no right on that bucket.
resource "google_storage_bucket_iam_member" "log_writer" {
  bucket = google_storage_bucket.access_logs.name
  role   = "roles/storage.objectCreator"
  member = "group:cloud-storage-analytics@google.com"
}
