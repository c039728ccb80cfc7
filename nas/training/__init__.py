"""Images in, trained weights and measured accuracy out."""
