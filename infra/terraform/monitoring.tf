# Who is told of what. The alerts themselves are data: alerts.yaml, log_alerts.yaml, and message_alerts in locals.tf.

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  display_name = "emailsched: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.needed]
}

locals {
  channels = concat([for channel in google_monitoring_notification_channel.email : channel.id], var.notification_channels)
}

resource "google_monitoring_alert_policy" "messages" {
  for_each = local.message_alerts

  display_name          = "${var.name_prefix}: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${each.value.subscription}\" AND metric.type = \"pubsub.googleapis.com/subscription/${each.value.metric}\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content   = each.value.description
    mime_type = "text/markdown"
  }
}

# A job that cannot publish leaves no message behind that could wait.
resource "google_monitoring_alert_policy" "scheduler" {
  display_name          = "${var.name_prefix}: SchedulerFails"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "SchedulerFails"

    condition_matched_log {
      filter = "resource.type = \"cloud_scheduler_job\" AND resource.labels.job_id : \"${var.name_prefix}-\" AND severity >= ERROR"
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content   = "A Cloud Scheduler job could not publish its message: the run of that day is missing. docs/operations.md, alerts."
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "metrics" {
  for_each = local.metric_alerts

  display_name          = "${var.name_prefix}: ${each.key}"
  combiner              = "OR"
  severity              = upper(each.value.labels.severity)
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.annotations.summary

    condition_prometheus_query_language {
      query                     = each.value.expr
      duration                  = each.value.for
      evaluation_interval       = "60s"
      alert_rule                = each.key
      disable_metric_validation = true # the first metric comes after the first deploy
    }
  }

  documentation {
    content   = each.value.annotations.description
    mime_type = "text/markdown"
  }
}

resource "google_logging_metric" "events" {
  for_each = local.log_alerts

  name        = "${var.name_prefix}/${each.key}"
  description = each.value.description
  filter      = "(${var.log_filter}) AND jsonPayload.event=(${join(" OR ", [for event in each.value.events : "\"${event}\""])})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "logs" {
  for_each = local.log_alerts

  display_name          = "${var.name_prefix}: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.events[each.key].name}\" AND resource.type = \"${var.log_resource_type}\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.more_than
      duration        = "0s"

      aggregations {
        alignment_period     = "${each.value.window_seconds}s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content   = each.value.description
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_dashboard" "overview" {
  dashboard_json = jsonencode(local.dashboard)

  depends_on = [google_project_service.needed]
}
