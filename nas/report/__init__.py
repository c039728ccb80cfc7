"""What studies found, as a picture and as a page."""
