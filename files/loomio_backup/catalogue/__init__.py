"""What the stores hold, as far as this Pi knows: manifests, histories, objects and their checks."""
