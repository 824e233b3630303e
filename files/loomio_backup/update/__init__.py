"""An update: newer images run on the same data, or everything is as it was when the writers stopped."""
