"""Files that people and packages hand in, read strictly."""
