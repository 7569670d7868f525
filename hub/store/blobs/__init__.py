"""Large sealed contents: as files or in a bucket, provisional until a commit refers to them."""
