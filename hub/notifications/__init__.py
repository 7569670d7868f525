"""Word to others about their cases: callbacks to online services and specialist systems, and mail to people."""
