"""Models that are files of a framework, served as if they were Python models."""
