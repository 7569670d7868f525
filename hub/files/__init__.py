"""Files that people and packages hand in, read strictly; and files that hold secrets."""
