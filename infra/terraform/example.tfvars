# Copy to terraform.tfvars, which is not committed. Everything else has a default: variables.tf.

project_id   = "acme-mail-1234"
bucket_name  = "acme-mail-orgs"
alert_emails = ["oncall@example.com"]

# After the first deploy, when the app's name is known.
push_endpoint = "https://emailsched.fly.dev/"

# Upstream systems send contact changes, the sender reports what became of mail, somebody reads completions.
event_publishers = [
  "serviceAccount:crm@acme-mail-1234.iam.gserviceaccount.com",
  "serviceAccount:sender@acme-mail-1234.iam.gserviceaccount.com",
]
completion_consumers = { sender = "serviceAccount:sender@acme-mail-1234.iam.gserviceaccount.com" }

# Every org at 02:05 in New York; these at a time of their own as well, the large one by a worker.
fan_out = { schedule = "5 2 * * *" }
org_schedules = {
  pacific_health = { schedule = "5 2 * * *", time_zone = "America/Los_Angeles" }
  national       = { schedule = "30 0 * * *", bulk = true }
}
