# What is derived or decided once. Nothing in here needs the provider, so the tests evaluate it with Terraform itself.

locals {
  # Where messages come in. `bulk` is for what outlasts a push (600 s at most): the largest orgs and mass imports.
  topics = toset(["requests", "changes", "bulk"])

  # One subscription per topic: with two, every message would arrive twice. Nobody to push to: workers pull all three.
  pushed = var.push_endpoint == null ? toset([]) : toset(["requests", "changes"])
  pulled = setsubtract(local.topics, local.pushed)

  push_audience = coalesce(var.push_audience, var.push_endpoint, "none")

  ack_deadline_seconds  = 600 # the longest that Pub/Sub has: a push is open for as long as its run takes
  delivery_attempts_max = 100 # a 503 is no poison: with these waits 100 attempts are 16 hours of outage
  backoff_seconds       = { first = 10, longest = 600 }

  day_seconds = 86400

  # Names in the bucket, as the program writes them.
  databases = "org-data/"
  controls  = "org-control/" # who held an org back, and since when
  backups   = "backups/"
  deltas    = "org-delta/"
  rejected  = "rejected/"
  leases    = ["org-lease/", "org-lease-clock/"]
  trials    = "doctor/"                                         # written and deleted by `emailsched doctor`
  rewritten = ["org-lease/", "org-lease-clock/", "org-status/"] # whose old versions nobody wants

  delta_days    = 35 # a delta chain has at most 32 links, a month of daily runs
  rejected_days = 30
  lease_days    = 7 # a lease in use is renewed every few seconds; this is one whose machine never came back

  # age counts from the creation, and ANY is live and replaced versions alike: nothing outlives the rule by a day or two.
  lifecycle_rules = [
    { with_state = "ARCHIVED", prefixes = [local.databases, local.controls], days_since_noncurrent = var.noncurrent_days, newer_versions = var.noncurrent_versions_kept },
    { with_state = "ARCHIVED", prefixes = local.rewritten, days_since_noncurrent = 1 },
    { with_state = "ANY", prefixes = [local.backups], age = var.backup_days },
    { with_state = "ANY", prefixes = [local.deltas], age = local.delta_days },
    { with_state = "ANY", prefixes = [local.rejected], age = local.rejected_days },
    { with_state = "ANY", prefixes = [local.trials], age = 1 },
    { with_state = "ANY", prefixes = local.leases, age = local.lease_days },
  ]

  # One home for each alert: alerts.yaml is a Prometheus rule file that any Prometheus loads, too.
  metric_rules  = yamldecode(file("${path.module}/alerts.yaml")).groups[0].rules
  metric_alerts = { for rule in local.metric_rules : rule.alert => rule if var.alerts_from_metrics }
  log_rules     = yamldecode(file("${path.module}/log_alerts.yaml"))
  log_alerts    = { for rule in local.log_rules : rule.alert => rule if var.alerts_from_logs }

  # What Pub/Sub counts itself is always there.
  message_alerts = {
    DeadLetters = {
      metric       = "num_undelivered_messages"
      subscription = "${var.name_prefix}-dead-letters"
      above        = 0
      severity     = "CRITICAL"
      description  = "Messages were given up. Nothing is lost: list them, mend the cause, replay them. docs/operations.md, dead letters."
    }
    MessagesWait = {
      metric       = "oldest_unacked_message_age"
      subscription = "${var.name_prefix}-requests-${contains(local.pushed, "requests") ? "push" : "pull"}"
      above        = 3600
      severity     = "ERROR"
      description  = "A run request has waited for an hour: machines are down, busy, or refuse. docs/operations.md, messages wait."
    }
    ChangesWait = {
      metric       = "oldest_unacked_message_age"
      subscription = "${var.name_prefix}-changes-${contains(local.pushed, "changes") ? "push" : "pull"}"
      above        = 3600
      severity     = "ERROR"
      description  = "A change has waited for an hour, perhaps an unsubscribe: that org's runs fail, or machines do. docs/operations.md, messages wait."
    }
    BulkWaits = {
      metric       = "oldest_unacked_message_age"
      subscription = "${var.name_prefix}-bulk-pull"
      above        = 14400
      severity     = "WARNING"
      description  = "A bulk message has waited for four hours: no worker runs, or it is behind. docs/operations.md, messages wait."
    }
  }

  panels = yamldecode(file("${path.module}/panels.yaml"))
  dashboard = {
    displayName = "${var.name_prefix}: runs, messages, bytes"
    mosaicLayout = {
      columns = 48
      tiles = [
        for place, panel in local.panels : {
          xPos   = place % 2 * 24
          yPos   = floor(place / 2) * 16
          width  = 24
          height = 16
          widget = {
            title = panel.title
            xyChart = {
              dataSets = [
                for query in panel.queries : {
                  plotType        = "LINE"
                  timeSeriesQuery = { prometheusQuery = replace(query, "PREFIX", var.name_prefix) }
                }
              ]
              yAxis = { label = panel.unit, scale = "LINEAR" }
            }
          }
        }
      ]
    }
  }
}
