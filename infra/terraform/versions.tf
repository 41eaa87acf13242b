terraform {
  required_version = ">= 1.9" # conditions of variables that speak of other variables

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # The state names every object and no secret: no key is made here. Keep it in a bucket of its own, not in the one below:
  #   terraform init -backend-config="bucket=..." -backend-config="prefix=emailsched"
  backend "gcs" {}
}

provider "google" {
  project = var.project_id
  region  = var.region
}

data "google_project" "this" {}

resource "google_project_service" "needed" {
  for_each = toset(["cloudscheduler", "logging", "monitoring", "pubsub", "storage"])

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false # others in the project may use them
}
