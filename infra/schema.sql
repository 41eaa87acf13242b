-- The org database: one SQLite file per org, `org-data/<org>.db` in the bucket.
-- This is the contract with the systems that write contacts, campaigns and behaviour into the file and with the sender
-- that reads email_schedules. Missing tables, columns and indexes are added by migrations; extra ones are kept. Nobody writes the
-- live object blindly: other systems send events, or upload with a generation precondition.
-- Dates are TEXT YYYY-MM-DD, timestamps TEXT, booleans INTEGER 0/1. Rule numbers (R7 ...) refer to docs/rules.md.

-- ---------------------------------------------------------------- written by upstream systems

CREATE TABLE IF NOT EXISTS contacts (
  id                  INTEGER PRIMARY KEY,
  email               TEXT,
  first_name          TEXT,
  last_name           TEXT,
  phone_number        TEXT,
  zip_code            TEXT,
  state               TEXT,
  birth_date          TEXT,
  effective_date      TEXT,
  carrier             TEXT,                          -- some sources call it current_carrier (R9)
  failed_underwriting INTEGER NOT NULL DEFAULT 0,
  status              TEXT    NOT NULL DEFAULT ''
);

CREATE TABLE IF NOT EXISTS campaign_types (
  name                      TEXT PRIMARY KEY,
  respect_exclusion_windows INTEGER NOT NULL DEFAULT 1,
  enable_followups          INTEGER NOT NULL DEFAULT 1,
  days_before_event         INTEGER NOT NULL DEFAULT 0,
  target_all_contacts       INTEGER NOT NULL DEFAULT 0,
  priority                  INTEGER NOT NULL DEFAULT 30,
  active                    INTEGER NOT NULL DEFAULT 1,
  spread_evenly             INTEGER NOT NULL DEFAULT 0,
  skip_failed_underwriting  INTEGER NOT NULL DEFAULT 0,
  created_at                TEXT DEFAULT CURRENT_TIMESTAMP,
  updated_at                TEXT DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS campaign_instances (
  id                INTEGER PRIMARY KEY,
  campaign_type     TEXT NOT NULL,
  instance_name     TEXT NOT NULL,
  email_template    TEXT,
  sms_template      TEXT,
  active_start_date TEXT,
  active_end_date   TEXT,
  spread_start_date TEXT,
  spread_end_date   TEXT,
  target_states     TEXT,
  target_carriers   TEXT,
  metadata          TEXT,                            -- JSON object of overrides (R53)
  created_at        TEXT DEFAULT CURRENT_TIMESTAMP,
  updated_at        TEXT DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (campaign_type, instance_name)
);

CREATE TABLE IF NOT EXISTS contact_campaigns (
  id                   INTEGER PRIMARY KEY,
  contact_id           INTEGER NOT NULL,
  campaign_instance_id INTEGER NOT NULL,
  trigger_date         TEXT,
  status               TEXT NOT NULL DEFAULT 'pending',   -- pending, scheduled, sent, skipped
  metadata             TEXT,
  created_at           TEXT DEFAULT CURRENT_TIMESTAMP,
  updated_at           TEXT DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (contact_id, campaign_instance_id, trigger_date)
);

CREATE TABLE IF NOT EXISTS tracking_clicks (
  id          INTEGER PRIMARY KEY,
  contact_id  INTEGER,
  tracking_id TEXT,
  clicked_at  TEXT,
  url         TEXT
);

CREATE TABLE IF NOT EXISTS contact_events (
  id         INTEGER PRIMARY KEY,
  contact_id INTEGER,
  event_type TEXT NOT NULL,
  metadata   TEXT,                                   -- JSON
  created_at TEXT
);

CREATE TABLE IF NOT EXISTS config_versions (         -- R8, R13
  id          INTEGER PRIMARY KEY,
  config_data TEXT NOT NULL,                         -- one JSON object of R10 keys
  valid_from  TEXT NOT NULL,                         -- UTC
  valid_to    TEXT,
  created_at  TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  created_by  TEXT,
  note        TEXT
);

CREATE TABLE IF NOT EXISTS campaign_change_log (     -- R58
  id                    INTEGER PRIMARY KEY,
  campaign_instance_id  INTEGER NOT NULL,
  field_changed         TEXT NOT NULL,
  old_value             TEXT,
  new_value             TEXT,
  changed_at            TEXT NOT NULL,
  changed_by            TEXT,
  requires_rescheduling INTEGER NOT NULL DEFAULT 1,
  processed_run_id      TEXT
);

-- ---------------------------------------------------------------- written by the scheduler, read by the sender

CREATE TABLE IF NOT EXISTS email_schedules (
  id                   INTEGER PRIMARY KEY AUTOINCREMENT,   -- a deleted row's id is never another row's
  contact_id           INTEGER NOT NULL,
  email_type           TEXT NOT NULL,
  campaign_instance_id INTEGER,
  parent_schedule_id   INTEGER,                      -- follow-ups: the row that they follow
  event_date           TEXT NOT NULL,                -- R6: what the mail is about; never moves
  scheduled_send_date  TEXT NOT NULL,
  scheduled_send_time  TEXT NOT NULL DEFAULT '08:30:00',
  status               TEXT NOT NULL DEFAULT 'pre-scheduled',
  skip_reason          TEXT,
  priority             INTEGER NOT NULL DEFAULT 10,
  email_template       TEXT,
  sms_template         TEXT,
  scheduler_run_id     TEXT,                         -- the run that last changed the row
  created_at           TEXT DEFAULT CURRENT_TIMESTAMP,
  updated_at           TEXT DEFAULT CURRENT_TIMESTAMP,
  actual_send_datetime TEXT,
  metadata             TEXT
);

-- The two indexes of email_schedules are created when rows are written, after the rows: building them last is half the cost of a
-- first run, and rows that collide are gone by then. Should rows that are not ours to delete collide, the identity index is created
-- without UNIQUE (same name but ix_) and the run warns.
CREATE UNIQUE INDEX IF NOT EXISTS ux_schedules_identity ON email_schedules (   -- R7; date first: a day's rows share pages
  event_date, contact_id, email_type, COALESCE(campaign_instance_id, 0), COALESCE(parent_schedule_id, 0)
);
CREATE INDEX IF NOT EXISTS ix_schedules_due ON email_schedules (               -- the sender's question, nobody else's
  scheduled_send_date
) WHERE status = 'pre-scheduled';

CREATE TABLE IF NOT EXISTS scheduler_issues (        -- R24: the issues in force; ids and codes, never personal data
  contact_id       INTEGER NOT NULL,                 -- 0: the issue is about a campaign, not a contact
  issue            TEXT NOT NULL,
  scheduler_run_id TEXT NOT NULL,                    -- the run that first saw it
  PRIMARY KEY (contact_id, issue)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS scheduler_checkpoints (   -- R96: one row per run that changed something
  id                        INTEGER PRIMARY KEY,
  run_timestamp             TEXT NOT NULL,
  scheduler_run_id          TEXT NOT NULL UNIQUE,
  as_of                     TEXT NOT NULL,
  config_hash               TEXT,
  contacts_checksum         TEXT,
  schedules_before_checksum TEXT,
  schedules_after_checksum  TEXT,
  contacts_processed        INTEGER,
  contacts_invalid          INTEGER,
  emails_scheduled          INTEGER,
  emails_skipped            INTEGER,
  rows_inserted             INTEGER,
  rows_updated              INTEGER,
  rows_deleted              INTEGER,
  rows_missed               INTEGER,
  rows_unchanged            INTEGER,
  status                    TEXT NOT NULL,           -- completed
  error_message             TEXT,
  started_at                TEXT,
  completed_at              TEXT
);

-- ---------------------------------------------------------------- the scheduler's own memory

CREATE TABLE IF NOT EXISTS scheduler_runs (           -- one row per committed run; a redelivered event is answered from here
  run_id          TEXT PRIMARY KEY,
  completion_json TEXT NOT NULL,                      -- the data of the run.completed event, as it was published; compressed where it is long
  committed_at    TEXT NOT NULL                       -- the checkpoint's run_timestamp
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS scheduler_processed_events ( -- which run carried an event; kept 75 days, runs as long as their events
  source       TEXT NOT NULL,
  event_id     TEXT NOT NULL,
  run_id       TEXT NOT NULL,
  processed_at TEXT NOT NULL,
  PRIMARY KEY (source, event_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS scheduler_tombstones (     -- who must not come back, whatever an import or a restore says
  contact_id INTEGER PRIMARY KEY,                     -- also of people that contacts does not have (any more)
  reason     TEXT NOT NULL,                           -- unsubscribed, deleted
  at         TEXT NOT NULL                            -- UTC
);

CREATE TABLE IF NOT EXISTS scheduler_upserts (        -- the order of each contact's last upsert: an older one is stale; kept 75 days
  contact_id INTEGER PRIMARY KEY,
  at         TEXT NOT NULL,                           -- when the event happened, UTC
  source     TEXT NOT NULL,
  sequence   TEXT NOT NULL,
  event_id   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS scheduler_parked_items (   -- clicks, answers, enrolments that wait 7 days for whom they are about
  id         INTEGER PRIMARY KEY,
  contact_id INTEGER NOT NULL,
  kind       TEXT NOT NULL,                           -- enrol, click, answer
  content    TEXT NOT NULL,                           -- JSON
  source     TEXT NOT NULL,
  event_id   TEXT NOT NULL,
  item_index INTEGER NOT NULL,
  parked_at  TEXT NOT NULL,                           -- UTC
  UNIQUE (source, event_id, item_index)
);

CREATE TABLE IF NOT EXISTS scheduler_unplanned (      -- a row: data was recorded on hold that no plan knows of; claims wait for it
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  since TEXT NOT NULL                                 -- UTC
);
