"""What runs by the clock: retention, overdue submissions, gauges; and whether the process can do its job."""
