"""Models that several slides share."""
