# Once a day for every org, and a time of their own for those that want one. The message is the same every day; its id is
# Pub/Sub's, so tomorrow's is no duplicate of today's.

resource "google_cloud_scheduler_job" "fan_out" {
  count = var.fan_out == null ? 0 : 1

  name        = "${var.name_prefix}-fan-out"
  description = "One run request for every org of the bucket"
  schedule    = var.fan_out.schedule
  time_zone   = var.fan_out.time_zone
  paused      = var.fan_out.paused
  region      = var.region

  pubsub_target {
    topic_name = google_pubsub_topic.work["requests"].id
    data       = base64encode("{}")
    attributes = { type = "com.emailscheduler.fanout.requested.v1" }
  }

  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
    max_backoff_duration = "600s"
  }

  depends_on = [google_project_service.needed]
}

resource "google_cloud_scheduler_job" "org" {
  for_each = var.org_schedules

  name        = "${var.name_prefix}-run-${each.key}"
  description = "A run of ${each.key}"
  schedule    = each.value.schedule
  time_zone   = each.value.time_zone
  paused      = each.value.paused
  region      = var.region

  pubsub_target {
    topic_name = google_pubsub_topic.work[each.value.bulk ? "bulk" : "requests"].id
    data       = base64encode("{}")
    attributes = { orgid = each.key } # not org_id: in an unwrapped push it would be a header, and servers drop those
  }

  retry_config {
    retry_count          = 5
    min_backoff_duration = "10s"
    max_backoff_duration = "600s"
  }

  depends_on = [google_project_service.needed]
}
