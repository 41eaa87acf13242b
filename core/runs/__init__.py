"""The run of one org, against ports."""
